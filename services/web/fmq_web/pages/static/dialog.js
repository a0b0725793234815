// Purge: asks in a dialog that names the exact number. Without this script, a page of its own asks.
import { count } from "./figures.js";

const dialog = document.getElementById("purge");

// The form's fields as the API has them.
function selected(fields) {
  const selection = {};
  for (const name of ["topic", "reason"]) if (fields.get(name)) selection[name] = fields.get(name);
  for (const name of ["since", "until"]) if (fields.get(name)) selection[name] = Date.parse(`${fields.get(name).replace(" ", "T")}Z`) / 1000; // they are in UTC
  if (fields.get("group")) selection.fingerprint = fields.get("group").slice(1); // behind its mark
  return selection;
}

async function ask(form) {
  const selection = selected(new FormData(form));
  const answer = await fetch("/api/v1/operations/dry-run", {
    method: "POST",
    headers: { "Content-Type": "application/json", Accept: "application/json" },
    body: JSON.stringify({ kind: "purge", queue: form.dataset.purge, selection }),
  });
  if (!answer.ok) throw new Error(answer.statusText);
  const run = await answer.json();
  const number = count(run.count) + (run.more ? "+" : "");
  const go = document.getElementById("purge-go");
  go.textContent = `Delete ${number} for good`;
  go.disabled = run.count === 0;
  // The page has the queue's name as it may be shown: without what moves or hides other text.
  document.getElementById("purge-what").textContent = `${number} dead letter${run.count === 1 ? "" : "s"} of ${form.dataset.shown}: ${run.selection}`;
  dialog.querySelector("[name=token]").value = run.token;
  const query = new URLSearchParams({ queue: run.queue, ...selection });
  document.getElementById("purge-download").href = `/api/v1/dead/export?${query}`;
  dialog.showModal();
}

if (dialog) {
  document.getElementById("purge-cancel").addEventListener("click", () => dialog.close());
  for (const form of document.querySelectorAll("form[data-purge]")) {
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      ask(form).catch(() => form.submit()); // form.submit() does not come here again
    });
  }
}
