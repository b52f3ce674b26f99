// The keys of the correcting mode.

export function setKeys(mode) {
  const move = (dx, dy) => (event) => mode.nudge(dx, dy, event);
  const digits = [..."1234567890"].map((digit, place) => [digit, "", () => mode.pickClass(mode.session.classes[place]), digit]);
  mode.page.setKeys([
    ["Boxes", [
      ["J K", "next, previous box", () => mode.stepBox(1), "j", "J"],
      ["Y", "keep, and on to the next", () => mode.judge("keep"), "y", "Y"],
      ["N", "reject, and on to the next", () => mode.judge("reject"), "n", "N"],
      ["U", "take the decision back", () => mode.judge("forget"), "u", "U"],
      ["Del", "delete", () => mode.judge("reject"), "Delete", "Backspace"],
      ["1 … 0", "class; without a box, the class to draw", () => {}, "none"],
      ["⇧ arrows", "move by a pixel; with Ctrl by ten", () => {}, "none"],
      ["⇧ Alt arrows", "resize by a pixel; with Ctrl by ten", () => {}, "none"],
      ["B", "draw a box; Enter puts one in the middle", () => mode.setDrawing(!mode.drawing), "b", "B"],
      ["M ⇧M", "reject or restore its mask; accept it", () => mode.judgeMask(false), "m"],
      ["Esc", "let go of box or drawing", () => mode.letGo(), "Escape"],
    ]],
    ["Image", [
      ["→ ←", "next, previous image", () => mode.step(1), "ArrowRight"],
      ["C", "checked: everything that is there is boxed", () => mode.finish("checked"), "c"],
      ["E", "nothing is here", () => mode.finish("nothing"), "e"],
      ["X", "leave this image out", () => mode.finish("reject"), "x"],
      ["V", "not checked after all", () => mode.finish("forget"), "v"],
      ["Z ⇧Z", "undo, redo", () => mode.save(() => mode.back("undo")), "z", "Ctrl+z"],
      ["+ − 0", "zoom, fit", () => mode.stage.zoom(1.5), "+", "="],
      ["H", "hide boxes", () => { mode.shown.boxes = !mode.shown.boxes; mode.paint(); }, "h"],
      ["/", "search", () => mode.list.focusSearch(), "/"],
    ]],
  ]);
  const { keys } = mode.page;
  const more = [
    ["k", () => mode.stepBox(-1)], ["K", () => mode.stepBox(-1)], ["ArrowDown", () => mode.stepBox(1)], ["ArrowUp", () => mode.stepBox(-1)],
    ["ArrowLeft", () => mode.step(-1)], ["M", () => mode.judgeMask(true)],
    ["Z", () => mode.save(() => mode.back("redo"))], ["Ctrl+Z", () => mode.save(() => mode.back("redo"))],
    ["Ctrl+Shift+Z", () => mode.save(() => mode.back("redo"))], ["Ctrl+y", () => mode.save(() => mode.back("redo"))],
    ["-", () => mode.stage.zoom(1 / 1.5)], ["0", () => mode.stage.fit()], ["f", () => mode.stage.fit()],
    ["Enter", () => { if (mode.drawing) mode.drawInMiddle(); }],
    ...digits.slice(0, 9).map(([digit, , action]) => [digit, action]),
  ];
  for (const [name, action] of more) keys.set(name, action);
  for (const [arrow, dx, dy] of [["Left", -1, 0], ["Right", 1, 0], ["Up", 0, -1], ["Down", 0, 1]]) {
    for (const prefix of ["Shift+", "Ctrl+Shift+", "Alt+Shift+", "Ctrl+Alt+Shift+"]) keys.set(`${prefix}Arrow${arrow}`, move(dx, dy));
  }
  keys.delete("none");
  keys.set("0", () => (mode.session.classes.length > 9 && mode.selected ? mode.pickClass(mode.session.classes[9]) : mode.stage.fit()));
}
