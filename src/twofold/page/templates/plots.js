"use strict";
// The figures, drawn when they come near the screen, in the page's own colours.

(() => {
  const colours = ["#2f7ed8", "#d9730d", "#2a9d57", "#d6404a", "#8a63d2", "#1697a6", "#d14d94", "#8a8b1c", "#a0673a", "#7d8590"];
  const mark = "#d6404a", drawn = [];

  function themed(layout) {
    const css = getComputedStyle(document.documentElement), value = name => css.getPropertyValue(name).trim();
    const axis = {gridcolor: value("--line"), linecolor: value("--line"), zeroline: false, automargin: true, tickfont: {size: 12}};
    return {
      ...layout,
      colorway: colours,
      font: {color: value("--soft"), family: getComputedStyle(document.body).fontFamily, size: 12.5},
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      margin: {l: 44, r: 12, t: layout.showlegend ? 30 : 12, b: 36},
      xaxis: {...axis, ...layout.xaxis, title: {...layout.xaxis.title, standoff: 6, font: {size: 12.5}}},
      yaxis: {...axis, ...layout.yaxis},
      legend: {orientation: "h", x: 0, y: 1.02, yanchor: "bottom"},
      hovermode: "x unified",
      hoverlabel: {bgcolor: value("--card"), bordercolor: value("--line"), font: {color: value("--ink")}},
      dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom", // a finger scrolls the page
      shapes: (layout.shapes || []).map(shape => ({...shape, line: {color: mark, dash: "dot", width: 1.5}})),
      annotations: (layout.annotations || []).map(note => ({...note, font: {color: mark, size: 12}})),
    };
  }

  const near = new IntersectionObserver(entries => {
    for (const {isIntersecting, target} of entries) if (isIntersecting) {
      near.unobserve(target);
      const {data, layout} = JSON.parse(target.querySelector("script").textContent), place = target.querySelector(".drawing");
      for (const line of data) line.line = {width: 1.8, ...line.line};
      Plotly.newPlot(place, data, themed(layout), {responsive: true, displayModeBar: false});
      drawn.push([place, layout]);
    }
  }, {rootMargin: "500px"});
  for (const figure of document.querySelectorAll(".plot")) near.observe(figure);

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    for (const [place, layout] of drawn) Plotly.relayout(place, themed(layout));
  });
})();
