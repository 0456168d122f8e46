// Runs the page's own script. Until that listens, all that needs it is inert, so that nothing is pressed in vain;
// where it cannot be had, the page stays so and says it.

const main = document.getElementById("main");
const unstarted = document.getElementById("unstarted");

try {
  await import(`../pages/${document.body.dataset.page}.js`);
  unstarted.remove();
  for (const element of document.querySelectorAll("[inert]")) element.inert = false;
  main.removeAttribute("aria-busy");
  main.querySelector("[autofocus]")?.focus();
} catch (error) {
  unstarted.classList.remove("late");
  throw error;
}
