// Small choices of the reader, kept in this browser. Never credentials.
export function saved(name, otherwise) {
  try {
    return localStorage.getItem(`fmq.${name}`) ?? otherwise;
  } catch {
    return otherwise;
  }
}

export function save(name, value) {
  try {
    localStorage.setItem(`fmq.${name}`, value);
  } catch {
    // Storage is off: the choice lasts as long as the page.
  }
}
