// Keeps the page current: asks for the state every second and redraws what changed.
// Without it the page reloads itself.
(() => {
  const at = (id) => document.getElementById(id);
  const panel = at("state");
  const svg = "http://www.w3.org/2000/svg";
  let photosShown = "";

  const add = (parent, name, text) => {
    const child = document.createElement(name);
    child.textContent = text;
    parent.append(child);
    return child;
  };
  // A live region speaks at every change, so it changes only when the words do.
  const say = (element, text) => {
    if (element.textContent !== text) element.textContent = text;
  };
  const clock = (rfc3339) =>
    new Date(rfc3339).toLocaleTimeString("en-GB");

  const drawPhotos = (photos) => {
    const key = JSON.stringify(photos);
    if (key === photosShown) return;
    photosShown = key;
    at("album").replaceChildren(...photos.map((photo) => {
      const print = document.createElement("li");
      print.className = "print";
      const picture = document.createElementNS(svg, "svg");
      picture.setAttribute("viewBox", "0 0 120 90");
      picture.setAttribute("aria-hidden", "true");
      const use = document.createElementNS(svg, "use");
      use.setAttribute("href", `#scene-${photo.scene}`);
      picture.append(use);
      print.append(picture);
      add(print, "b", photo.title);
      add(print, "time", photo.taken);
      return print;
    }));
    at("blank").hidden = photos.length > 0;
  };

  const drawCalls = (calls) => {
    say(at("zone"), "");
    at("calls").replaceChildren(...calls.map((call) => {
      const row = document.createElement("tr");
      row.className = call.status && call.status < 300 ? "good" : "bad";
      const time = add(add(row, "td", ""), "time", clock(call.at));
      time.dateTime = call.at;
      add(row, "td", call.request);
      add(row, "td", call.status ?? "none").className = "code";
      add(row, "td", call.answer);
      add(row, "td", `${call.elapsed_ms} ms`).className = "took";
      return row;
    }));
  };

  const draw = (now) => {
    if (now.state === "signed_out") return location.replace("/");
    document.title = `${now.label} · ${panel.dataset.shop}`;
    panel.dataset.state = now.state;
    say(at("label"), now.label);
    say(at("detail"), now.detail);
    at("stopped").hidden = now.calling;
    at("refresh").hidden = !now.refresh;
    if (now.refresh) {
      const { at: when, status, answer } = now.refresh;
      const code = status ? `${status}, ` : "";
      say(at("refresh"), `Refresh by hand at ${clock(when)}: ${code}${answer}.`);
    }
    drawPhotos(now.photos);
    drawCalls(now.calls);
  };

  const gone = () => {
    panel.dataset.state = "trouble";
    say(at("label"), "Page out of date");
    say(at("detail"), "The shop itself does not answer. This page tries again.");
  };

  const poll = async () => {
    try {
      const answer = await fetch("/status", { cache: "no-store" });
      if (!answer.ok) throw new Error(answer.statusText);
      draw(await answer.json());
    } catch {
      gone();
    }
    setTimeout(poll, 1000);
  };
  poll();
})();
