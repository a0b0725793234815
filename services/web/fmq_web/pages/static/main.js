// Starts what the page at hand needs. Each module does nothing where its elements are missing.
import "./times.js";
import "./keys.js";
import "./filter.js";
import "./copy.js";
import "./dialog.js";
import "./live.js";
