// Keys: / ? g q/d/w/a j k. They can be switched off, since single keys get in the way of speech input.
import { save, saved } from "./saved.js";

const help = document.getElementById("keys");
const on = document.getElementById("keys-on");
const PAGES = { q: "/", d: "/dead", w: "/workers", a: "/activity" };
let went = -Infinity;

// A dialog that has just been closed keeps the focus until the browser draws the page again: keys there are for the page.
function typing(element) {
  return (element.checkVisibility?.() ?? true) && (element.closest("input, textarea, select, dialog") !== null || element.isContentEditable);
}

function step(by) {
  const rows = [...document.querySelectorAll("a.row, .groups .acts a:first-child")].filter((row) => row.checkVisibility());
  const next = rows[Math.max(0, Math.min(rows.length - 1, rows.indexOf(document.activeElement) + by))];
  next?.focus();
}

function press(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
  if (event.key === "?") help.showModal();
  else if (!on.checked) return;
  else if (event.timeStamp - went < 1500 && Object.hasOwn(PAGES, event.key)) location.assign(PAGES[event.key]);
  else if (event.key === "g") went = event.timeStamp;
  else if (event.key === "j") step(1);
  else if (event.key === "k") step(-1);
  else if (event.key === "/") document.getElementById("filter")?.focus();
  else return;
  event.preventDefault();
}

if (help) {
  on.checked = saved("keys", "on") === "on";
  on.addEventListener("change", () => save("keys", on.checked ? "on" : "off"));
  document.getElementById("help").addEventListener("click", () => help.showModal());
  document.addEventListener("keydown", press);
}
