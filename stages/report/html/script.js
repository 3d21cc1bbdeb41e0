(() => {
  "use strict";
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const make = (name, attributes = {}, text = "") => {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.textContent = text;
    return element;
  };

  // Tables: a press on a heading sorts by it, another one the other way.
  for (const table of all("table.sortable")) {
    const heads = all("thead th", table);
    heads.forEach((head, column) => {
      const button = make("button", { type: "button" }, head.textContent);
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const numeric = head.classList.contains("n");
        const was = head.getAttribute("aria-sort");
        const ascending = was ? was === "descending" : !numeric;
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
        const key = (row) => {
          const cell = row.children[column];
          return cell.dataset.v !== undefined ? Number(cell.dataset.v) : numeric ? NaN : cell.textContent.trim();
        };
        const compare = (a, b) => {
          if (typeof a === "string" || typeof b === "string") return String(a).localeCompare(String(b), "en", { numeric: true }) * (ascending ? 1 : -1);
          if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) - Number.isNaN(b); // what is absent stays last
          return (a - b) * (ascending ? 1 : -1);
        };
        const body = table.tBodies[0];
        body.append(...[...body.rows].sort((a, b) => compare(key(a), key(b))));
      });
    });
  }
  for (const matrix of all("table.matrix")) {
    if (all("thead th span", matrix).some((span) => span.textContent.length > 3)) matrix.classList.add("long");
  }

  // Panels of which one is shown.
  all(".tabs").forEach((tabs, number) => {
    const panels = [...tabs.children];
    if (panels.length < 2) return;
    const list = make("div", { role: "tablist", "aria-label": tabs.dataset.name });
    const buttons = panels.map((panel, index) => {
      const button = make("button", { type: "button", role: "tab", id: `tab-${number}-${index}`, "aria-controls": `panel-${number}-${index}` }, panel.dataset.label);
      panel.id = `panel-${number}-${index}`;
      panel.setAttribute("role", "tabpanel");
      panel.setAttribute("aria-labelledby", button.id);
      button.addEventListener("click", () => choose(index));
      button.addEventListener("keydown", (event) => {
        const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
        if (!step) return;
        const next = (index + step + panels.length) % panels.length;
        choose(next);
        buttons[next].focus();
      });
      list.append(button);
      return button;
    });
    const choose = (chosen) => panels.forEach((panel, index) => {
      panel.hidden = index !== chosen;
      buttons[index].setAttribute("aria-selected", String(index === chosen));
      buttons[index].tabIndex = index === chosen ? 0 : -1;
    });
    tabs.prepend(list);
    choose(0);
  });

  // What is told beside the pointer.
  const tip = make("div", { id: "tip", role: "status", hidden: "" });
  document.body.append(tip);
  const show = (event, ...parts) => {
    tip.replaceChildren(...parts);
    tip.hidden = false;
    const { width, height } = tip.getBoundingClientRect();
    const left = event.clientX + 18 + width > innerWidth ? event.clientX - width - 14 : event.clientX + 18;
    const top = event.clientY + 18 + height > innerHeight ? event.clientY - height - 14 : event.clientY + 18;
    tip.style.left = `${Math.max(4, left)}px`;
    tip.style.top = `${Math.max(4, top)}px`;
  };
  const hide = () => { tip.hidden = true; };
  const within = (svg, event) => {
    const box = svg.getBoundingClientRect();
    const view = svg.viewBox.baseVal;
    return [(event.clientX - box.left) / box.width * view.width, (event.clientY - box.top) / box.height * view.height];
  };
  const svgElement = (name, attributes) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  };
  const columns = { s: 40, l: 20 }; // as in gallery.rs
  const picture = (kind, place, name) => make("span", { class: `pic ${kind}`, role: "img", "aria-label": name, style: `--x:${place % columns[kind]};--y:${Math.floor(place / columns[kind])}` });

  // Curves: the values at the step below the pointer.
  for (const svg of all("svg[data-x]")) {
    const [x0, x1, left, right] = svg.dataset.x.split(" ").map(Number);
    const [y0, y1, low, high] = svg.dataset.y.split(" ").map(Number);
    const lines = all("polyline", svg).map((line) => ({ line, points: line.getAttribute("points").split(" ").map((pair) => pair.split(",").map(Number)) }));
    let cross;
    svg.addEventListener("pointermove", (event) => {
      const [x] = within(svg, event);
      const nearest = (points) => points.reduce((best, point) => Math.abs(point[0] - x) < Math.abs(best[0] - x) ? point : best);
      const at = nearest(lines.flatMap(({ points }) => points))[0];
      cross ??= svg.appendChild(svgElement("path", { class: "cross" }));
      cross.setAttribute("d", `M${at} ${high}V${low}`);
      const step = Math.round(x0 + (at - left) / (right - left) * (x1 - x0));
      const rows = lines.map(({ line, points }) => {
        const value = y0 + (nearest(points)[1] - low) / (high - low) * (y1 - y0);
        const row = make("div");
        row.append(make("span", { class: `dot ${line.classList[1]}` }), `${line.dataset.name} `, make("b", {}, String(+value.toPrecision(4))));
        return row;
      });
      show(event, make("div", {}, `step ${step.toLocaleString("en")}`), ...rows);
    });
    svg.addEventListener("pointerleave", () => { hide(); cross?.remove(); cross = undefined; });
  }

  // Maps: the picture of the point below the pointer, the classes by themselves.
  const told = document.getElementById("points");
  if (told) {
    const about = JSON.parse(told.textContent);
    const maps = all(".map svg").map((svg) => ({
      svg,
      points: all(".dots", svg).flatMap((path) => path.getAttribute("d").slice(1).split("M").map((pair) => pair.split(/[ h]/).map(Number))),
    }));
    for (const { svg, points } of maps) {
      const reach = 40;
      let ring;
      const leave = () => { hide(); ring?.remove(); ring = undefined; };
      const look = (event) => {
        const [x, y] = within(svg, event);
        let best = -1, least = reach * reach;
        points.forEach((point, index) => {
          const distance = (point[0] - x) ** 2 + (point[1] - y) ** 2;
          if (distance < least) [best, least] = [index, distance];
        });
        if (best < 0) return leave();
        ring ??= svg.appendChild(svgElement("circle", { class: "ring", r: 14 }));
        ring.setAttribute("cx", points[best][0]);
        ring.setAttribute("cy", points[best][1]);
        const name = about.names[about.classes[best]] ?? "";
        const parts = [picture("s", about.pictures[best], name), make("b", {}, name)];
        if (about.taken[best]) parts.push(make("div", {}, `${about.by}: taken for ${about.taken[best]}`));
        show(event, ...parts);
      };
      svg.addEventListener("pointermove", look);
      svg.addEventListener("pointerdown", look);
      svg.addEventListener("pointerleave", leave);
    }
    const buttons = all(".classes button");
    const choose = (chosen) => {
      buttons.forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.class === chosen)));
      for (const { svg } of maps) {
        svg.classList.toggle("faded", chosen !== undefined);
        all(".dots", svg).forEach((path) => path.classList.toggle("on", path.dataset.class === chosen));
      }
    };
    for (const button of buttons) {
      button.addEventListener("click", () => choose(button.getAttribute("aria-pressed") === "true" ? undefined : button.dataset.class));
    }
  }

  // Mistakes: the images behind a cell of the matrix.
  for (const button of all("button[data-pics]")) {
    button.addEventListener("click", () => {
      const panel = button.closest(".panel") ?? document;
      all("button[data-pics]", panel).forEach((other) => other.setAttribute("aria-pressed", String(other === button)));
      const name = button.title;
      const row = make("div", { class: "row" });
      row.append(...button.dataset.pics.split(" ").map((place) => picture("l", Number(place), name)));
      panel.querySelector(".behind").replaceChildren(make("p", {}, `${name}: ${button.textContent}`), row);
    });
  }

  // Which section is read.
  const links = new Map(all("nav a").map((link) => [link.hash.slice(1), link]));
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting || scrollY === 0) continue;
      links.forEach((link) => link.removeAttribute("aria-current"));
      links.get(entry.target.id)?.setAttribute("aria-current", "true");
    }
  }, { rootMargin: "-15% 0px -75% 0px" });
  all("main > section").forEach((section) => seen.observe(section));

  // A stage that is named by the address is unfolded.
  const unfold = () => {
    const stage = document.getElementById(location.hash.slice(1));
    if (stage instanceof HTMLDetailsElement) stage.open = true;
  };
  addEventListener("hashchange", unfold);
  unfold();
})();
