(() => {
  const root = document.documentElement;
  const header = document.querySelector(".bar");
  const lines = "main :is(caption, tr, p, li, h2, h3, h4, h5, dt, dd, figure, article)";
  let anchor = null, height = 0;

  // What stands at the top of the window is held there when texts of another length take its place.
  const remember = () => {
    const top = header.offsetHeight;
    anchor = [...document.querySelectorAll(lines)].find(line => line.getBoundingClientRect().top >= top);
    height = anchor ? anchor.getBoundingClientRect().top : 0;
  };
  const show = language => {
    root.lang = language;
    for (const element of document.querySelectorAll("[data-attr]")) {
      if (element.dataset.attr === "text") element.textContent = element.dataset[language];
      else element.setAttribute(element.dataset.attr, element.dataset[language]);
    }
    if (anchor && scrollY) scrollBy(0, anchor.getBoundingClientRect().top - height);
  };
  // both come before the choice changes
  header.addEventListener("click", event => { if (event.target.closest("label")) remember(); }, true);
  for (const choice of document.querySelectorAll("input[name=language]")) {
    choice.addEventListener("keydown", remember);
    choice.addEventListener("change", () => show(choice.value));
    if (choice.checked && choice.value !== root.lang) show(choice.value);
  }

  for (const slider of document.querySelectorAll(".opacity input")) {
    const picture = slider.closest("article").querySelector(".overlay");
    const set = () => { picture.style.opacity = slider.value / 100; };
    slider.closest(".opacity").hidden = false;
    slider.addEventListener("input", set);
    set();
  }

  // One clip sounds at a time.
  document.addEventListener("play", event => {
    for (const player of document.querySelectorAll("audio")) if (player !== event.target) player.pause();
  }, true);
})();
