// Light or dark: what the system asks for, until somebody chooses.

const wish = window.matchMedia("(prefers-color-scheme: dark)");

export function followTheme(button) {
  const show = () => {
    document.documentElement.dataset.theme = localStorage.getItem("theme") ?? (wish.matches ? "dark" : "light");
  };
  wish.addEventListener("change", show);
  button.addEventListener("click", () => {
    localStorage.setItem("theme", document.documentElement.dataset.theme === "dark" ? "light" : "dark");
    show();
  });
  show();
}
