// What somebody unfolded stays so when the page is asked for anew.

const folds = new Map(); // whether it is open, by its id

// Looked at just before it goes: the event that tells of it comes late, and not from what is gone.
document.body.addEventListener("htmx:beforeSwap", () => {
  for (const { id, open } of document.querySelectorAll("details[id]")) folds.set(id, open);
});

document.body.addEventListener("htmx:afterSwap", () => {
  for (const [id, isOpen] of folds) {
    const one = document.getElementById(id);
    if (one) one.open = isOpen;
  }
});
