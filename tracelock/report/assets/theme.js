// Light and dark: as the system has it, until somebody chooses.
"use strict";
const turnTheme = (() => {
  const themeButton = document.getElementById("theme");
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const kept = () => {
    try { return localStorage.getItem("tracelock-theme"); } catch { return null; }
  };
  const paint = (theme) => {
    if (theme === "light" || theme === "dark") root.dataset.theme = theme;
    const now = root.dataset.theme || (dark.matches ? "dark" : "light");
    if (themeButton) themeButton.textContent = now === "dark" ? "light" : "dark";
    return now;
  };
  const turnTheme = () => {
    const theme = paint(null) === "dark" ? "light" : "dark";
    paint(theme);
    try { localStorage.setItem("tracelock-theme", theme); } catch { /* not kept, then */ }
  };
  paint(kept());
  if (themeButton) {
    themeButton.hidden = false;
    themeButton.setAttribute("aria-label", "change between light and dark");
    themeButton.addEventListener("click", turnTheme);
  }
  return turnTheme;
})();
