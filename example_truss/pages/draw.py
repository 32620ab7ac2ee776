"""Draw the example pages: ``python example_truss/pages/draw.py``. Needs Pillow (11.2 or newer) alone,
whose own font it uses."""

from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

HERE = Path(__file__).parent
INK, GREY, PALE = 0, 70, 225

LAMP = """
The old signal station on the northern cliff opens its doors again this weekend, eleven years after the last keeper
locked them. Volunteers have spent two winters scraping paint, oiling hinges and carrying stones up a path that no
cart can climb.

The lamp itself came back on Tuesday. It had been stored in a barn, wrapped in blankets, and not one of its four
hundred prisms was broken.

Visitors may walk up to the gallery in groups of eight. The view reaches as far as the islands on a clear day, and
on the other days there is hot tea in the engine room.
"""
HARBOUR = """
Along the shore the herring are early. Boats that left at midnight were home before breakfast with full nets, and
the smokehouse has taken on three more hands until September.

The harbour council reminds owners that the mooring fee is due at the end of the month. It is 45 for a rowing
boat and 120 for anything with an engine.

A brass compass was found below the steps of the ferry landing. Its owner can collect it from the harbour office by
naming the date that is scratched into the lid.
"""
LETTER = """
Between 3 and 19 September our gauge at the old weir reported levels that were 14 centimetres too low. We have since
replaced the sensor and compared it with a staff reading twice a day.

Corrected values for the whole period are enclosed. Please replace the figures in your archive and let us know when
the public charts have been updated.

For questions you can reach me at extension 4418 on any weekday before noon.
"""


class Page:
    """A white sheet, and a pen that writes on it."""

    def __init__(self, width: int, height: int) -> None:
        self.image = Image.new("L", (width, height), 255)
        self._draw = ImageDraw.Draw(self.image)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: int = 26,
        bold: bool = False,
        ink: int = INK,
        anchor: str = "la",
    ) -> None:
        font = ImageFont.load_default(size=size)
        self._draw.text((x, y), text, fill=ink, font=font, anchor=anchor, stroke_width=0.6 if bold else 0)

    def rule(self, x: float, y: float, width: float, *, ink: int = INK, weight: int = 2) -> None:
        self._draw.line((x, y, x + width, y), fill=ink, width=weight)

    def frame(self, x: float, y: float, width: float, height: float, *, fill: int | None = None) -> None:
        self._draw.rectangle((x, y, x + width, y + height), outline=GREY, fill=fill, width=2)

    def paragraph(self, x: float, y: float, width: float, text: str, *, size: int = 24) -> float:
        """Write the text in lines of that width; return where the next one would start."""
        font = ImageFont.load_default(size=size)
        line = ""
        for word in [*text.split(), ""]:
            longer = f"{line} {word}".strip()
            if word and self._draw.textlength(longer, font=font) <= width:
                line = longer
                continue
            self.text(x, y, line, size=size)
            y += size * 1.5
            line = word
        return y + size * 0.6

    def save(self, name: str) -> None:
        # Sixteen greys keep the letters smooth and the file small.
        self.image.quantize(16).save(HERE / name, optimize=True)


def invoice() -> Page:
    page = Page(1240, 1754)
    page.text(100, 90, "Harbour Street Printing Ltd.", size=40, bold=True)
    page.text(100, 150, "14 Harbour Street, Bristol BS1 4QA", ink=GREY)
    page.text(100, 186, "VAT registration GB 482 9930 17", ink=GREY)
    page.text(1140, 90, "INVOICE", size=52, bold=True, anchor="ra")
    for row, (label, value) in enumerate(
        [("Invoice number", "2024-0817"), ("Invoice date", "12 March 2024"), ("Due date", "11 April 2024")]
    ):
        page.text(900, 180 + 40 * row, label, ink=GREY, anchor="ra")
        page.text(1140, 180 + 40 * row, value, anchor="ra")
    page.text(100, 340, "Bill to", ink=GREY)
    for row, line in enumerate(
        ["Meridian Museum of Maps", "Attn. Clara Whitfield", "3 Observatory Hill", "Bath BA1 2LX"]
    ):
        page.text(100, 380 + 38 * row, line)

    columns = [
        (100, "Description", "la"),
        (760, "Quantity", "ra"),
        (950, "Unit price", "ra"),
        (1140, "Amount", "ra"),
    ]
    page.frame(84, 590, 1072, 60, fill=PALE)
    for x, title, anchor in columns:
        page.text(x, 604, title, bold=True, anchor=anchor)
    items = [
        ("Exhibition catalogue, 96 pages", 400, 6.35),
        ("Poster A2, matt, four colours", 250, 2.10),
        ("Folded floor plan", 5000, 0.14),
        ("Wall label, foam board", 64, 4.75),
        ("Express delivery, per box", 12, 3.20),
    ]
    y = 676
    for description, quantity, price in items:
        cells = [description, f"{quantity}", f"{price:,.2f}", f"{quantity * price:,.2f}"]
        for (x, _, anchor), cell in zip(columns, cells, strict=True):
            page.text(x, y, cell, anchor=anchor)
        page.rule(84, y + 48, 1072, ink=PALE)
        y += 68
    net = sum(quantity * price for _, quantity, price in items)
    for label, amount, bold in [
        ("Subtotal", net, False),
        ("VAT 20%", net * 0.2, False),
        ("Total GBP", net * 1.2, True),
    ]:
        y += 48
        page.text(950, y, label, bold=bold, anchor="ra")
        page.text(1140, y, f"{amount:,.2f}", bold=bold, anchor="ra")
    page.rule(100, 1500, 1040, ink=GREY)
    page.text(100, 1530, "Please pay within 30 days to Severn Bank, account 31926819, sort code 60-16-13.")
    page.text(100, 1570, "Thank you for your order.")
    return page


def article() -> Page:
    page = Page(1240, 1040)
    page.text(620, 80, "THE LIGHTHOUSE GAZETTE", size=54, bold=True, anchor="ma")
    page.rule(90, 160, 1060, weight=4)
    page.text(90, 178, "Number 212")
    page.text(1150, 178, "Saturday, 8 June", anchor="ra")
    for x, title, paragraphs in [(90, "The lamp returns", LAMP), (650, "Harbour news", HARBOUR)]:
        y = 240.0
        page.text(x, y, title, size=34, bold=True)
        y += 66
        for paragraph in paragraphs.split("\n\n"):
            y = page.paragraph(x, y, 500, paragraph)
    page.rule(90, 940, 1060, ink=GREY)
    page.text(620, 960, "Printed every Saturday since 1871", anchor="ma")
    return page


def receipt() -> Page:
    page = Page(620, 1120)
    page.text(310, 50, "CORNER BAKERY", size=42, bold=True, anchor="ma")
    page.text(310, 108, "27 Mill Lane", anchor="ma")
    page.text(310, 144, "Telephone 0117 555 0142", anchor="ma")
    page.rule(50, 200, 520)
    page.text(50, 220, "14.05.2024 08:47")
    page.text(570, 220, "Receipt 003914", anchor="ra")
    page.rule(50, 270, 520)
    items = [
        ("Sourdough loaf", 3.80),
        ("Butter croissant x 4", 6.40),
        ("Cinnamon bun x 2", 5.20),
        ("Oat flat white", 3.45),
    ]
    y = 300
    for name, price in items:
        page.text(50, y, name, size=28)
        page.text(570, y, f"{price:.2f}", size=28, anchor="ra")
        y += 54
    total = sum(price for _, price in items)
    page.rule(50, y + 6, 520)
    page.text(50, y + 30, "TOTAL", size=38, bold=True)
    page.text(570, y + 30, f"{total:.2f}", size=38, bold=True, anchor="ra")
    y += 110
    for label, amount in [("Cash", 20.00), ("Change", 20.00 - total)]:
        page.text(50, y, label, size=28)
        page.text(570, y, f"{amount:.2f}", size=28, anchor="ra")
        y += 48
    page.rule(50, y + 12, 520)
    page.text(310, y + 50, "You were served by Amira", anchor="ma")
    page.text(310, y + 94, "Thank you, come again!", size=30, anchor="ma")
    return page


def table() -> Page:
    page = Page(1654, 1170)
    page.text(80, 60, "Weather station Kestrel Ridge: monthly summary 2023", size=38, bold=True)
    page.text(80, 118, "Elevation 412 m, readings taken daily at 07:00", ink=GREY)
    header = ["Month", "Mean C", "Min C", "Max C", "Rain mm", "Wind km/h", "Sun h"]
    rows = [
        ["January", "3.1", "-6.4", "11.2", "104.6", "31.5", "48"],
        ["February", "4.0", "-3.8", "12.9", "61.3", "28.7", "71"],
        ["March", "6.2", "-2.1", "15.7", "118.0", "30.2", "92"],
        ["April", "8.9", "0.3", "19.4", "57.9", "24.8", "163"],
        ["May", "12.6", "3.7", "22.8", "38.2", "21.1", "214"],
        ["June", "16.8", "7.9", "28.3", "44.5", "18.6", "241"],
        ["July", "15.9", "8.2", "26.1", "97.4", "20.3", "187"],
        ["August", "16.1", "8.8", "25.5", "83.1", "19.9", "179"],
        ["September", "15.7", "7.1", "29.6", "66.8", "19.4", "168"],
        ["October", "11.3", "2.5", "21.0", "129.7", "25.9", "102"],
        ["November", "6.8", "-3.0", "14.6", "98.3", "27.3", "63"],
        ["December", "5.9", "-4.7", "13.1", "141.2", "33.8", "39"],
    ]
    left, top, row_height = 80, 190, 68
    widths = [290, 200, 200, 200, 200, 220, 184]
    page.frame(left, top, sum(widths), row_height, fill=PALE)
    for index, cells in enumerate([header, *rows]):
        y = top + index * row_height
        x = left
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True)):
            if index:
                page.frame(x, y, width, row_height)
            if column:
                page.text(x + width - 26, y + 18, cell, size=30, anchor="ra")
            else:
                page.text(x + 26, y + 18, cell, size=30)
            x += width
    page.text(80, 1100, "Source: station log, checked 15 January 2024", ink=GREY)
    return page


def letter() -> Page:
    page = Page(1240, 1400)
    for row, line in enumerate(["Dr. Ines Albrecht", "Institute for River Studies", "Quay 9, 4051 Basel"]):
        page.text(1120, 100 + 40 * row, line, anchor="ra")
    page.text(120, 330, "To the Office of Waterways")
    page.text(120, 370, "Reference: WB-77/2024")
    page.text(1120, 430, "Basel, 2 October 2024", anchor="ra")
    page.text(120, 500, "Water level readings at gauge 17", size=32, bold=True)
    y = page.paragraph(120, 590, 860, "Dear Sir or Madam,", size=27)
    for paragraph in LETTER.split("\n\n"):
        y = page.paragraph(120, y, 860, paragraph, size=27)
    page.text(120, y + 20, "Yours faithfully,", size=27)
    page.text(120, y + 140, "Ines Albrecht", size=27)
    page.text(120, y + 220, "Enclosure: 1 data sheet", ink=GREY)
    return page


def main() -> None:
    for kind in (invoice, article, receipt, table, letter):
        name = f"{kind.__name__}-1.png"
        kind().save(name)
        print(f"{name}: {(HERE / name).stat().st_size / 1024:.0f} KB")


if __name__ == "__main__":
    main()
