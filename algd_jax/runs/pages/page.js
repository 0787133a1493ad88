"use strict";
// What a page does when it is touched. All of it is made of buttons and sliders, which keyboards reach.

const NARROW = 600; // px: below, the panels of a chart stand one below the other.
const PAUSE = 60; // ms between two moments that are played

const chartOf = (element) => element.closest("figure").querySelector(".js-plotly-plot");

// A chart is drawn before its neighbours are there, so it does not know its width yet.
function fit(chart) {
  const { narrow, wide } = chart.layout.meta ?? {};
  const layout = (chart.clientWidth < NARROW ? narrow : wide) ?? {};
  if (layout.height) chart.parentElement.style.height = `${layout.height}px`;
  Plotly.relayout(chart, { ...layout, width: chart.clientWidth });
}

// Buttons of a legend show and hide the traces of their group.
function follow(legend) {
  const chart = chartOf(legend);
  for (const button of legend.querySelectorAll("button")) {
    button.addEventListener("click", () => {
      const shown = button.getAttribute("aria-pressed") !== "true";
      const traces = chart.data.flatMap((trace, index) =>
        trace.legendgroup === button.dataset.group ? [index] : []);
      button.setAttribute("aria-pressed", shown);
      Plotly.restyle(chart, { visible: shown }, traces);
    });
  }
}

// A slider shows the moments of a chart, a button plays them.
function play(player) {
  const [button, slider, output] = player.children;
  const chart = chartOf(player);
  const moments = chart.layout.meta.moments;
  let timer = null;
  const show = (index) => {
    const moment = moments[index];
    slider.value = index;
    slider.setAttribute("aria-valuetext", moment.text);
    output.textContent = moment.text;
    output.classList.toggle("costs", moment.costs);
    Plotly.animate(chart, [String(index)], {
      mode: "immediate", frame: { duration: 0, redraw: false }, transition: { duration: 0 },
    });
  };
  const stop = () => {
    clearInterval(timer);
    timer = null;
    button.textContent = "play";
  };
  slider.addEventListener("input", () => {
    stop();
    show(slider.valueAsNumber);
  });
  button.addEventListener("click", () => {
    if (timer !== null) return stop();
    const last = moments.length - 1;
    let index = slider.valueAsNumber < last ? slider.valueAsNumber : -1;
    button.textContent = "pause";
    timer = setInterval(() => (index < last ? show(++index) : stop()), PAUSE);
  });
}

// Heads of a table sort its rows: what begins with a number by it, before all other texts.
function sortable(table) {
  const body = table.tBodies[0];
  const texts = new Intl.Collator(undefined, { numeric: true }).compare;
  const number = (text) => {
    const value = parseFloat(text.replaceAll(",", ""));
    return Number.isNaN(value) ? Infinity : value;
  };
  const order = (a, b) => (number(a) === number(b) ? texts(a, b) : number(a) < number(b) ? -1 : 1);
  for (const head of table.tHead.rows[0].cells) {
    head.querySelector("button").addEventListener("click", () => {
      const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      const text = (row) => row.cells[head.cellIndex].textContent;
      body.append(...[...body.rows].sort((a, b) => sign * order(text(a), text(b))));
    });
  }
}

addEventListener("load", () => {
  const charts = [...document.querySelectorAll(".js-plotly-plot")];
  charts.forEach(fit);
  let width = innerWidth;
  addEventListener("resize", () => {
    if (width === innerWidth) return;
    width = innerWidth;
    charts.forEach(fit);
  });
  // A finger that moves over a chart moves the page.
  if (matchMedia("(pointer: coarse)").matches)
    charts.forEach((chart) => Plotly.relayout(chart, { dragmode: false }));
  document.querySelectorAll(".legend").forEach(follow);
  document.querySelectorAll(".player").forEach(play);
  document.querySelectorAll("table.sortable").forEach(sortable);
});
