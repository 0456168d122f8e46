// Runs the page's own script. Until that listens the page is inert: what one pressed before would be lost, or
// sent by the browser itself, a key in the address with it.

const main = document.getElementById("main");

try {
  await import(`../pages/${document.body.dataset.page}.js`);
} finally {
  main.inert = false;
  main.removeAttribute("aria-busy");
  main.querySelector("[autofocus]")?.focus();
}
