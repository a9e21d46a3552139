// What somebody unfolded stays so when the page is asked for anew.

const folds = new Map(); // whether it is open, by its id

// The event does not bubble.
document.addEventListener("toggle", ({ target }) => target.id && folds.set(target.id, target.open), true);

document.body.addEventListener("htmx:afterSwap", () => {
  for (const [id, isOpen] of folds) {
    const one = document.getElementById(id);
    if (one) one.open = isOpen;
  }
});
