// Hides the queues whose name does not have what the reader types.
const field = document.querySelector("input#filter");
const table = document.getElementById("queues");
const said = document.getElementById("filtered");

function filter() {
  const part = field.value.toLowerCase();
  const rows = [...table.tBodies[0].rows];
  for (const row of rows) row.hidden = !row.dataset.queue.toLowerCase().includes(part);
  const left = rows.filter((row) => !row.hidden).length;
  said.hidden = part === "";
  said.textContent = `${left} of ${rows.length} queues`;
}

if (field && table) {
  document.getElementById("filter-label").hidden = false;
  field.addEventListener("input", filter);
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    field.value = "";
    filter();
    field.blur();
  });
  filter();
}
