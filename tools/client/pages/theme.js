// Applies the remembered colour theme before the first paint. Loaded plainly in the head for that reason only.
{
  let theme = null;
  try {
    theme = localStorage.getItem('twinwire-theme');
  } catch {
    // Storage may be forbidden; the system's colours are then used.
  }
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
}
