"""A visit of the review page in a real browser."""

from __future__ import annotations

from typing import Any

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
LAPTOP = {"viewport": {"width": 1366, "height": 768}}


class Visit:
    """A page that is open, and everything it should not have done."""

    def __init__(self, browser: Any, address: str, **options: Any) -> None:
        self.context = browser.new_context(**{**LAPTOP, **options})
        self.page = self.context.new_page()
        self.page.set_default_timeout(20_000)
        self.sins: list[str] = []
        self.size = (64, 64)
        """Of the image, in its own pixels."""
        self.page.on("pageerror", lambda error: self.sins.append(str(error)))
        self.page.on("console", lambda message: self.note(message))
        self.page.goto(address)
        self.page.wait_for_selector(".mode-correct .row", state="attached")
        self.page.wait_for_selector(".image-name bdi")
        self.page.wait_for_selector(".stage:not(.loading)")

    def note(self, message: Any) -> None:
        if "net::ERR_" not in message.text and message.type in ("error", "warning"):
            self.sins.append(message.text)

    def keys(self, *names: str) -> None:
        for name in names:
            self.page.keyboard.press(name)

    def saved(self) -> None:
        self.page.wait_for_selector("#saved.good", state="attached")

    def name(self) -> str:
        text: str = self.page.locator(".image-name").inner_text()
        return text

    def mark(self, text: str, state: str = "visible") -> None:
        self.page.locator(".boxes .marks", has_text=text).wait_for(state=state)

    def boxes(self) -> list[str]:
        texts: list[str] = self.page.locator(".boxes .box").evaluate_all(
            "nodes => nodes.map(n => n.querySelector('bdi').textContent + ' ' + n.querySelector('.marks').textContent)"
        )
        return [" ".join(text.split()) for text in texts]

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Where a point of the image is on the screen."""
        frame, (width, height) = self.page.locator(".sheet").bounding_box(), self.size
        return frame["x"] + x * frame["width"] / width, frame["y"] + y * frame["height"] / height

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        self.page.mouse.move(*self.at(*start))
        self.page.mouse.down()
        self.page.mouse.move(*self.at(*[(a + b) / 2 for a, b in zip(start, end, strict=True)]))
        self.page.mouse.move(*self.at(*end))
        self.page.mouse.up()
