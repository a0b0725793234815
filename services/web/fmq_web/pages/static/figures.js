// Figures as figures.py prints them.
const NONE = "–";
const UNITS = [[86400, "d"], [3600, "h"], [60, "min"]];

export const count = (number) => String(number).replace(/\B(?=(\d{3})+$)/g, ",");
export const capped = (number) => count(number) + (number >= 10000 ? "+" : "");

export function rate(perSecond) {
  if (perSecond === null) return NONE;
  if (perSecond > 0 && perSecond < 0.05) return "<0.1";
  if (perSecond < 9.95) return perSecond.toFixed(1).replace(/\.0$/, "");
  return count(Math.floor(perSecond + 0.5));
}

export function duration(seconds) {
  if (seconds === null) return NONE;
  for (const [length, unit] of UNITS) {
    if (seconds >= length) return `${count(Math.floor(seconds / length))} ${unit}`;
  }
  return `${Math.max(0, Math.floor(seconds))} s`;
}

export function precise(seconds) {
  if (seconds === null) return NONE;
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  return seconds < 60 ? `${seconds.toFixed(2)} s` : duration(seconds);
}

export function size(octets) {
  for (const unit of ["B", "KiB", "MiB", "GiB"]) {
    if (octets < 1024) return `${count(octets)} ${unit}`;
    octets = Math.floor(octets / 1024);
  }
  return `${count(octets)} TiB`;
}

// Changes text only where it differs, so that a selection of the reader survives.
export function put(element, text) {
  if (element && element.textContent !== text) element.textContent = text;
}
