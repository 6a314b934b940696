// Before anything is drawn: the theme that this browser chose, if it did.
(() => {
  try {
    const theme = localStorage.getItem("testbed-theme");
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  } catch { /* no storage: the system's theme it is */ }
})();
