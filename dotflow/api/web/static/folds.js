// What somebody unfolded stays so when the page is asked for anew.

const folds = new Map(); // whether it is open, by its id

// The page looks just before it replaces a part: the event "toggle" comes later, and a part that is
// gone sends none.
document.body.addEventListener("htmx:beforeSwap", () => {
  for (const { id, open } of document.querySelectorAll("details[id]")) folds.set(id, open);
});

document.body.addEventListener("htmx:afterSwap", () => {
  for (const [id, isOpen] of folds) {
    const one = document.getElementById(id);
    if (one) one.open = isOpen;
  }
});
