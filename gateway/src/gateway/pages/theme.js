"use strict";
// Runs before anything is painted, so that a chosen theme does not flash.
{
  let chosen = null;
  try { chosen = localStorage.getItem("theme"); } catch { /* storage is off: the system's theme holds */ }
  if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
}
