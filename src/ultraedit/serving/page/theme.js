// Runs before the page is drawn, so that a chosen theme does not flash.  Not a module: modules wait.
(() => {
  let chosen = null;
  try {
    chosen = localStorage.getItem("ultraedit-theme");
  } catch {
    // storage is switched off: the system's theme is used
  }
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
