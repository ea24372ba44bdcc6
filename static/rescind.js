// The pages work without this file. It adds four comforts, each marked in the page by a hidden element or a data attribute.

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

// A part of the page that goes on by itself, such as a purge's bar: <section id="purge" data-live>. The page is asked every
// second for its newest state, until the part it answers with is no longer marked.
const follow = async (part) => {
  let next = null;
  try {
    const answer = await fetch(location.href, { cache: "no-store" });
    // Signed out, or gone: what stands here stays.
    if (!answer.ok || answer.redirected) return;
    next = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById(part.id);
  } catch {
    // The server or the line may come back.
  }
  if (next) {
    part.replaceWith(next);
    part = next;
  }
  if (part.hasAttribute("data-live")) setTimeout(follow, next ? 1000 : 5000, part);
};
for (const part of document.querySelectorAll("[data-live]")) setTimeout(follow, 1000, part);
