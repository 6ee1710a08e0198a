// Every time on a page tells on hover the reader's own time, then the exact one in UTC that it had before.
(() => {
  "use strict";

  const LOCAL = {
    weekday: "short", year: "numeric", month: "short", day: "numeric",
    hour: "2-digit", minute: "2-digit", second: "2-digit", timeZoneName: "short",
  };

  function tellLocalTimes() {
    for (const element of document.querySelectorAll("time[datetime][title]:not([data-local])")) {
      const at = new Date(element.dateTime);
      if (Number.isNaN(at.getTime())) continue;
      element.dataset.local = "told";
      if (at.getTimezoneOffset() !== 0) {
        element.title = `${at.toLocaleString(undefined, LOCAL)}\n${element.title}`;
      }
    }
  }

  document.addEventListener("DOMContentLoaded", tellLocalTimes);
  document.addEventListener("htmx:afterSwap", tellLocalTimes);
})();
