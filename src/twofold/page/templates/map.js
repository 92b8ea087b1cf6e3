"use strict";
// The map: colours, legend, pointer and keys, and the panel that shows an image and its neighbours.

const map = (() => {
  const root = document.getElementById("map"), find = selector => root.querySelector(selector);
  const marks = find(".marks"), pen = marks.getContext("2d"), tip = find(".tip"), legend = find(".legend");
  const plane = new Plane(find(".points"), atlas.x, atlas.y);
  const style = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const rgb = hex => [1, 3, 5].map(k => parseInt(hex.slice(k, k + 2), 16));
  let group = atlas.groups[0], visible = [], selected = -1, hovered = -1, due = "";

  const shown = i => visible[group.of[i]];
  const element = (kind, text, name = "") => Object.assign(document.createElement(kind), {textContent: text, className: name});

  // -- drawing --

  function redraw(all = true) {
    if (!due) requestAnimationFrame(paint);
    due = all || due === "all" ? "all" : "marks";
  }

  function paint() {
    if (due === "all") plane.draw(group.of, group.colours.map(rgb), visible, rgb(style("--card")));
    due = "";
    marks.width = plane.width; marks.height = plane.height;
    pen.strokeStyle = style("--mark");
    pen.lineWidth = plane.ratio;
    if (selected >= 0) {
      const [x, y] = plane.at(selected);
      pen.globalAlpha = 0.55;
      for (const j of atlas.neighbours(selected)) { pen.beginPath(); pen.moveTo(x, y); pen.lineTo(...plane.at(j)); pen.stroke(); }
      pen.globalAlpha = 1;
      for (const j of atlas.neighbours(selected)) ring(j, 1.5);
      pen.lineWidth = 2.5 * plane.ratio;
      ring(selected, 4);
    }
    if (hovered >= 0) { pen.lineWidth = 1.5 * plane.ratio; ring(hovered, 2.5); }
    marks.style.touchAction = plane.zoom > 1 ? "none" : "pan-y"; // the page still scrolls past a map that is whole
  }

  function ring(i, wider) {
    pen.beginPath();
    pen.arc(...plane.at(i), plane.radius + wider * plane.ratio, 0, 7);
    pen.stroke();
  }

  // -- groups --

  function colourBy(chosen) {
    group = chosen;
    visible = group.names.map(() => true);
    const counts = group.names.map(() => 0);
    for (const g of group.of) counts[g]++;
    const all = element("button", "all"), none = element("button", "none");
    all.onclick = () => show(() => true);
    none.onclick = () => show(() => false);
    legend.replaceChildren(all, none, ...group.names.map((name, g) => {
      const button = element("button", ""), dot = document.createElement("i");
      dot.style.background = group.colours[g];
      button.append(dot, name, element("small", counts[g].toLocaleString("en")));
      button.dataset.group = g;
      button.onclick = () => show(k => (k === g ? !visible[k] : visible[k]));
      return button;
    }));
    for (const button of find("#by").querySelectorAll("button")) button.ariaPressed = String(button.textContent === group.title);
    show(() => true);
  }

  function show(wanted) {
    visible = group.names.map((_, g) => wanted(g));
    for (const button of legend.querySelectorAll("[data-group]")) button.ariaPressed = String(visible[button.dataset.group]);
    redraw();
  }

  // -- the panel --

  function select(i) {
    selected = i;
    find(".hint").hidden = i >= 0;
    find(".found").hidden = i < 0;
    root.dataset.selected = i;
    if (i >= 0) {
      find(".picture").replaceChildren(thumb(i));
      find(".name").textContent = atlas.names[i];
      find(".groups").replaceChildren(...atlas.groups.map(g => element("li", g.title === "labels" ? "label: " + g.names[g.of[i]] : g.names[g.of[i]])));
      const cosines = atlas.cosines(i), labels = atlas.groups.find(g => g.title === "labels");
      find(".near").replaceChildren(...atlas.neighbours(i).map((j, k) => {
        const button = element("button", "");
        button.dataset.image = j;
        button.title = button.ariaLabel = atlas.names[j];
        button.append(thumb(j), element("span", cosines[k].toFixed(3)));
        if (labels) button.append(element("span", labels.names[labels.of[j]], labels.of[j] === labels.of[i] ? "" : "other"));
        return button;
      }));
      const [x, y] = plane.at(i);
      const outside = x < 0 || y < 0 || x > plane.width || y > plane.height;
      if (outside) plane.move(plane.x[i] - plane.middle[0], plane.y[i] - plane.middle[1]);
      redraw(outside);
    } else redraw(false);
  }

  document.addEventListener("click", event => { // on any picture of an image, wherever it is on the page
    const button = event.target.closest("button[data-image]");
    if (!button) return;
    const inside = root.contains(button), place = [...find(".near").children].indexOf(button);
    select(Number(button.dataset.image));
    if (inside) find(".near").children[place]?.focus({preventScroll: true}); // the keyboard stays where it was
    else document.getElementById("images").scrollIntoView({block: "start"});
  });

  // -- pointer and keys --

  const down = new Map();
  let start = null, apart = 0;
  const place = event => {
    const box = marks.getBoundingClientRect();
    return [(event.clientX - box.left) * plane.ratio, (event.clientY - box.top) * plane.ratio];
  };
  const spread = () => { const [a, b] = [...down.values()]; return Math.hypot(a[0] - b[0], a[1] - b[1]); };

  marks.addEventListener("pointerdown", event => {
    marks.setPointerCapture(event.pointerId);
    down.set(event.pointerId, place(event));
    start = down.size === 1 ? place(event) : null; // two fingers are no click
    if (down.size === 2) apart = spread();
  });
  marks.addEventListener("pointermove", event => {
    const now = place(event), before = down.get(event.pointerId);
    if (!before) { if (event.pointerType === "mouse") hover(plane.near(...now, 10 * plane.ratio, shown), now); return; }
    if (start && Math.hypot(now[0] - start[0], now[1] - start[1]) < 6 * plane.ratio) return;
    start = null;
    down.set(event.pointerId, now);
    if (down.size === 1) plane.move((before[0] - now[0]) / plane.scale, (now[1] - before[1]) / plane.scale);
    else if (down.size === 2) {
      const [a, b] = [...down.values()];
      plane.magnify(spread() / apart, (a[0] + b[0]) / 2, (a[1] + b[1]) / 2);
      apart = spread();
    }
    hover(-1);
    redraw();
  });
  marks.addEventListener("pointerup", event => {
    if (start) {
      const touch = event.pointerType === "mouse" ? 10 : 22; // pixels: a finger is not as exact
      select(plane.near(...place(event), touch * plane.ratio, shown));
    }
    start = null;
    down.delete(event.pointerId);
  });
  marks.addEventListener("pointercancel", event => { start = null; down.delete(event.pointerId); });
  marks.addEventListener("pointerleave", () => hover(-1));
  marks.addEventListener("dblclick", event => { plane.magnify(2, ...place(event)); redraw(); });
  marks.addEventListener("wheel", event => {
    if (!event.ctrlKey && !event.metaKey) return; // without them the page scrolls
    event.preventDefault();
    plane.magnify(Math.exp(-event.deltaY / 200), ...place(event));
    redraw();
  }, {passive: false});
  marks.addEventListener("keydown", event => {
    const way = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1]}[event.key];
    const factor = {"+": 1.6, "=": 1.6, "-": 1 / 1.6, "0": 0}[event.key];
    if (way) {
      const next = selected < 0 ? plane.near(plane.width / 2, plane.height / 2, 1e9, shown) : plane.towards(selected, ...way, shown);
      if (next >= 0) select(next);
    } else if (factor !== undefined) zoom(factor);
    else if (event.key === "Escape") select(-1);
    else return;
    event.preventDefault();
  });

  function hover(i, [px, py] = []) {
    if (i !== hovered) {
      hovered = i;
      tip.hidden = i < 0;
      if (i >= 0) tip.replaceChildren(thumb(i), element("div", atlas.names[i]), ...atlas.groups.map(g => element("div", g.names[g.of[i]], "soft")));
      redraw(false);
    }
    if (i < 0) return;
    const {clientWidth, clientHeight} = marks, x = px / plane.ratio, y = py / plane.ratio;
    tip.style.left = (x + 16 + tip.offsetWidth < clientWidth ? x + 16 : Math.max(0, x - 16 - tip.offsetWidth)) + "px";
    tip.style.top = Math.max(0, Math.min(y + 12, clientHeight - tip.offsetHeight - 4)) + "px";
  }

  function zoom(factor) {
    if (factor) plane.magnify(factor);
    else { plane.zoom = 1; plane.middle = [0, 0]; }
    redraw();
  }

  // -- beginning --

  for (const button of root.querySelectorAll("[data-zoom]")) button.onclick = () => zoom(Number(button.dataset.zoom));
  find("#by").append("colour ", ...atlas.groups.map(g => {
    const button = element("button", g.title);
    button.onclick = () => colourBy(g);
    return button;
  }));
  new ResizeObserver(() => { plane.fit(); redraw(); }).observe(marks);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => redraw());
  colourBy(group);
  return {plane, select};
})();
