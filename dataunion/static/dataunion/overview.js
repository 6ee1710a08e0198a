// The overview asks for its figures anew by itself, and always says how old they are.
// It waits while nobody looks (a hidden tab) and while somebody is in the middle of something.
(() => {
  "use strict";

  const SIGNED_OUT = 286; // the answer is a link to the sign-in page, and the last one
  const CALM_MS = 3000; // after the last scroll or key
  const ANNOUNCE_MS = 60000; // a screen reader hears of new figures once a minute at most
  const TROUBLE = "font-semibold text-orange-700 dark:text-orange-400";
  const HEARD_ONLY = "position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%)";
  const live = document.getElementById("live");
  if (!live) return;
  const [asOf, age, state, toggle] = ["as-of", "age", "live-state", "live-switch"].map((id) =>
    document.getElementById(id)
  );
  const PATIENCE_MS = 1000 * Number(live.dataset.seconds) + CALM_MS;
  let answeredAt = Date.now();
  let announcedAt = Date.now();
  let isOff = false;
  let trouble = "";
  let busyUntil = 0;

  const figures = () => document.getElementById("figures");
  const clock = (at) => at.toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", timeZoneName: "short" });
  const zone = (at) =>
    new Intl.DateTimeFormat(undefined, { timeZoneName: "short" }).formatToParts(at).find((part) => part.type === "timeZoneName").value;

  function span(ms) {
    const seconds = Math.floor(ms / 1000);
    const [count, unit] =
      seconds < 60 ? [seconds, "second"] : seconds < 3600 ? [Math.floor(seconds / 60), "minute"] : [Math.floor(seconds / 3600), "hour"];
    return `${count} ${unit}${count === 1 ? "" : "s"}`;
  }

  function isBusy() {
    const chosen = document.getSelection();
    const selects = chosen && !chosen.isCollapsed && figures().contains(chosen.anchorNode);
    return Date.now() < busyUntil || figures().contains(document.activeElement) || selects;
  }

  // Named in the page's hx-trigger.
  window.mayRefresh = () => !isOff && !document.hidden && !isBusy();

  function say(text, style = "") {
    if (state.textContent === text) return;
    state.style.cssText = style;
    state.textContent = text;
  }

  function tellAge() {
    const ms = Date.now() - answeredAt;
    age.textContent = ms < 1000 ? "just now" : `${span(ms)} ago`;
    if (trouble) say(trouble);
    else if (isOff) say("They stay as they are until you let them refresh again.");
    else if (ms > PATIENCE_MS && isBusy()) say("They wait while you are in the middle of them.");
    else if (Date.now() - announcedAt > ANNOUNCE_MS || !state.textContent.startsWith("As of")) {
      announcedAt = Date.now();
      say(`As of ${clock(new Date(figures().dataset.at))}.`, HEARD_ONLY);
    }
  }

  function tellTime() {
    const at = new Date(figures().dataset.at);
    asOf.dateTime = figures().dataset.at;
    asOf.title = figures().dataset.exact;
    delete asOf.dataset.local;
    asOf.textContent = clock(at);
  }

  function fail(text) {
    trouble = text || `No answer since ${clock(new Date(answeredAt))}. These are the last figures; asking again.`;
    state.className = TROUBLE;
    tellAge();
  }

  // --- charts: their elements stay over a refresh, so that nothing flickers; only their data is new

  function colour(value) {
    const name = typeof value === "string" && value.match(/^var\((.*)\)$/);
    return name ? getComputedStyle(document.documentElement).getPropertyValue(name[1]).trim() : value;
  }

  function feedCharts() {
    for (const source of document.querySelectorAll("#figures [data-chart]")) {
      const chart = Chart.getChart(document.querySelector(`#${source.dataset.chart} canvas`));
      if (!chart) continue;
      const data = JSON.parse(source.dataset.value);
      if (data.times.length) {
        data.labels = data.times.map((at) =>
          new Date(at).toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit" })
        );
        chart.options.scales.x.title.text = zone(new Date(data.times[0]));
      }
      for (const series of data.datasets) {
        series.borderColor = colour(series.borderColor);
        series.backgroundColor = colour(series.backgroundColor);
      }
      chart.data = data;
      paint(chart);
    }
  }

  function paint(chart) {
    const text = getComputedStyle(document.querySelector("#live")).color;
    chart.options.scales.x.ticks.color = text;
    chart.options.scales.x.title.color = text;
    chart.options.scales.y.ticks.color = text;
    chart.options.plugins.legend.labels.color = text;
    chart.update();
  }

  function paintAll() {
    for (const canvas of document.querySelectorAll("#figures canvas")) {
      const chart = Chart.getChart(canvas);
      if (chart) paint(chart);
    }
  }

  // --- what happens

  live.addEventListener("htmx:beforeSwap", (event) => {
    if (event.detail.xhr.status === SIGNED_OUT) {
      fail("These are the last figures.");
      return;
    }
    if (event.detail.xhr.status === 200 && !event.detail.serverResponse.includes('id="figures"')) {
      event.detail.shouldSwap = false;
      fail("You may not look at this any more. Load the page again.");
      return;
    }
    live.openDetails = [...document.querySelectorAll("#figures details[open]")].map((element) => element.id);
  });
  live.addEventListener("htmx:afterSwap", (event) => {
    if (event.detail.xhr.status === SIGNED_OUT) return;
    answeredAt = Date.now();
    trouble = "";
    state.className = "";
    for (const id of live.openDetails || []) document.getElementById(id)?.setAttribute("open", "");
    tellTime();
    tellAge();
    feedCharts();
  });
  for (const name of ["htmx:sendError", "htmx:responseError", "htmx:timeout"]) {
    live.addEventListener(name, () => fail());
  }
  for (const name of ["scroll", "wheel", "keydown", "pointerdown", "touchmove"]) {
    document.addEventListener(name, () => { busyUntil = Date.now() + CALM_MS; }, { passive: true, capture: true });
  }
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && !isOff) htmx.trigger(live, "look");
  });
  toggle.addEventListener("click", () => {
    isOff = !isOff;
    toggle.textContent = isOff ? "Refresh again" : "Stop refreshing";
    if (!isOff) htmx.trigger(live, "look");
    tellAge();
  });
  window.addEventListener("load", () => {
    feedCharts();
    new MutationObserver(paintAll).observe(document.documentElement, { attributeFilter: ["class"] });
  });

  toggle.hidden = false;
  tellTime();
  tellAge();
  setInterval(tellAge, 1000);
})();
