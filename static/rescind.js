// The pages work without this file. It adds three comforts, each marked in the page by a hidden element or a data attribute.

// "Select all" on a list: <label hidden data-select-all="grant_id"><input type="checkbox">…</label> inside the list's form.
for (const label of document.querySelectorAll("[data-select-all]")) {
  const all = label.querySelector("input");
  const name = label.dataset.selectAll;
  const boxes = () => [...all.form.querySelectorAll(`input[name="${name}"]`)];
  const show = () => {
    const on = boxes().filter((box) => box.checked).length;
    all.checked = on > 0 && on === boxes().length;
    all.indeterminate = on > 0 && !all.checked;
  };
  all.addEventListener("change", () => boxes().forEach((box) => (box.checked = all.checked)));
  all.form.addEventListener("change", show);
  label.hidden = false;
  show();
}

// "Copy" beside a secret: <button type="button" hidden data-copy="secret">Copy</button>.
for (const button of document.querySelectorAll("[data-copy]")) {
  if (!navigator.clipboard) continue;
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent.trim());
    button.textContent = button.dataset.copied;
  });
}

// Exact times also in the reader's own time zone, as the title.
for (const time of document.querySelectorAll('time[datetime*="T"]')) {
  const date = new Date(time.dateTime);
  if (!Number.isNaN(date.getTime())) time.title = date.toLocaleString(undefined, { dateStyle: "long", timeStyle: "long" });
}
