// What Unfold leaves to the mouse and the eye, given to the keyboard and to screen readers: its switches are spans and
// links without an address, and its icons are words ("dark_mode") that would be read aloud.
(() => {
  "use strict";

  const CLICKED = "[x-on\\:click]:not(a[href], button, input, select, label, summary, [role])";
  const SWITCHES = `.cursor-pointer${CLICKED}, .cursor-pointer > ${CLICKED}`;
  const CONTROLS = "a, button, [role='button']";
  const ICONS = ".material-symbols-outlined";
  const NAMES = {
    dock_to_right: "Hide or show the navigation",
    menu: "Open the navigation",
    close: "Close",
    computer: "Colours: as the system",
    dark_mode: "Colours: dark",
    light_mode: "Colours: light",
    sync_saved_locally: "Overview",
  };

  function isNameless(control) {
    if (control.title || control.hasAttribute("aria-label") || control.querySelector("img[alt]")) return false;
    if (control.matches(ICONS)) return true;
    const copy = control.cloneNode(true);
    copy.querySelectorAll(ICONS).forEach((icon) => icon.remove());
    return !copy.textContent.trim();
  }

  function nameByIcon(control) {
    const icon = control.matches(ICONS) ? control : control.querySelector(ICONS);
    const word = icon ? icon.textContent.trim() : "";
    if (word) control.setAttribute("aria-label", NAMES[word] ?? word.replaceAll("_", " "));
  }

  function makeButton(node) {
    node.setAttribute("role", "button");
    node.tabIndex = 0;
    node.addEventListener("keydown", (event) => {
      if (event.target !== node || !["Enter", " "].includes(event.key)) return;
      event.preventDefault();
      node.click();
    });
  }

  // A phone shows a list's rows as cards: what is empty there only makes them longer.
  function markEmptyCells() {
    document.querySelectorAll("#result_list td:not([data-empty])").forEach((cell) => {
      const isEmpty = ["", "-", "—"].includes(cell.textContent.trim()) && !cell.querySelector("input, svg, img, span.material-symbols-outlined");
      cell.dataset.empty = isEmpty ? "yes" : "no";
    });
  }

  // Unfold calls a row's first cell "Select record", also where there is nothing to select.
  function nameFirstCells() {
    document.querySelectorAll("#result_list td:first-child:not(:has(input))").forEach((cell) => {
      const head = cell.closest("table").querySelector("thead th");
      if (head) cell.dataset.label = head.textContent.trim();
    });
  }

  function mend() {
    markEmptyCells();
    nameFirstCells();
    document.querySelectorAll(SWITCHES).forEach(makeButton);
    [...document.querySelectorAll(CONTROLS)].filter(isNameless).forEach(nameByIcon);
    document.querySelectorAll(`${ICONS}:not([aria-hidden], [role])`).forEach((icon) => {
      icon.setAttribute("aria-hidden", "true");
    });
    document.querySelectorAll("span.help-tooltip:not([role])").forEach((help) => help.setAttribute("role", "img"));
  }

  document.addEventListener("DOMContentLoaded", () => {
    mend();
    new MutationObserver(mend).observe(document.body, { childList: true, subtree: true });
  });
})();
