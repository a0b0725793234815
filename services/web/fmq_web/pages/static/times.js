// Times in the reader's own zone, with UTC on hover; or all in UTC.
import { save, saved } from "./saved.js";

const button = document.getElementById("zone");
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
const two = (number) => String(number).padStart(2, "0");
const utc = (date) => `${date.toISOString().slice(0, 19).replace("T", " ")} UTC`;

function local(date) {
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  const time = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  return day === today() ? time : `${day} ${time}`;
}

function today() {
  const now = new Date();
  return `${now.getFullYear()}-${two(now.getMonth() + 1)}-${two(now.getDate())}`;
}

// Writes a time into a time element, as the reader wants it.
export function write(element, date) {
  const inUtc = saved("zone", "local") === "utc";
  const text = inUtc ? utc(date) : local(date);
  element.dateTime = date.toISOString();
  element.title = utc(date);
  element.textContent = "short" in element.dataset ? (inUtc ? text.slice(11, 16) : text.slice(-8, -3)) : text;
}

// Writes all times within an element or the document.
export function localize(place) {
  for (const element of place.querySelectorAll("time[datetime]")) {
    const date = new Date(element.dateTime);
    if (!Number.isNaN(date.valueOf())) write(element, date);
  }
}

function show() {
  localize(document);
  if (button) button.textContent = `Times: ${saved("zone", "local") === "utc" ? "UTC" : zone}`;
}

if (button) {
  button.addEventListener("click", () => {
    save("zone", saved("zone", "local") === "utc" ? "local" : "utc");
    show();
  });
  document.getElementById("switches").hidden = false;
}
show();
