"""Every code that a line about data may begin with: what it means and what to do.

python -m pipeline.data.codes > docs/codes.md      writes the list that users read
"""

from typing import NamedTuple


class Code(NamedTuple):
    """What one code tells; a line says more of its own case."""

    meaning: str
    remedy: str


KINDS = {
    "E": "Errors: `prepare` stops, or sets up to `prepare.max_quarantined` images aside in `quarantine.csv`.",
    "P": "Errors of the open-set protocol: `prepare` stops.",
    "W": "Warnings: `prepare` goes on; they stand in `audit.json`, on the screen and in the report.",
}
CODES = {
    "E_ANN_DIMS": Code(
        "a drawn map has another size than its image",
        "give the map at its image's own size, or set `maps.resize` or `maps.reference` of image_table",
    ),
    "E_ANN_EMPTY": Code(
        "a map marks nothing, or everything, of the image or of the part that is kept of it",
        "delete the map if nobody marked anything, or set `maps.empty`; check `crop`",
    ),
    "E_ANN_FILE": Code(
        "a file is not what its annotation tool would have written, or is too large",
        "export it again, in the format that docs/howto/annotation_tools.md names",
    ),
    "E_ANN_MISSING": Code(
        "a file with annotations that a list names is absent",
        "restore the file, or drop the line that names it",
    ),
    "E_ANN_NONE": Code(
        "the number of people behind a map is not a whole number of at least 0",
        "mend `annotators` of the adapter",
    ),
    "E_ANN_RANGE": Code(
        "a drawn map is not grey with 8 bits",
        "save it with one channel, 0 (not marked) to 255",
    ),
    "E_BOX": Code(
        "a rectangle has no area, is no number, or reaches more than 2 px outside its image",
        "give corners in px of the image as stored; check the order of the columns",
    ),
    "E_DECODE": Code(
        "a file is damaged, contradicts itself, is no single image or video, or is larger than the budget",
        "replace or drop the file; convert what cannot be decoded; raise `prepare.max_megapixels`; choose a "
        "frame by `prepare.dicom_frame`",
    ),
    "E_DIMS": Code(
        "an image has another size or another kind of pixels than its data set promises",
        "use the original file, to which maps and gaze refer; for iris lists, set the adapter's `size`",
    ),
    "E_DUP_ID": Code(
        "two images have the same sample id",
        "rename one, or give each collection a name of its own",
    ),
    "E_EGD_CANVAS": Code(
        "the margins around a film on the screen do not fit its size, so its gaze cannot be placed",
        "use the original film of MIMIC-CXR; check the pads in master_sheet.csv",
    ),
    "E_ENCODING": Code(
        "a table is not UTF-8 text",
        "save it as UTF-8",
    ),
    "E_ENUM": Code(
        "a word is not one of those allowed here",
        "use the nearest word that the line names",
    ),
    "E_FIX": Code(
        "gaze cannot become a map: no number, no duration, or nothing on the image",
        "give positions in px of the image as stored, and times in s",
    ),
    "E_FLAT": Code(
        "all pixels of an image are equal, or some are not finite",
        "replace or drop the file",
    ),
    "E_HASH_FORMAT": Code(
        "a hash in the manifest is not 64 hexadecimal digits",
        "run `prepare` again",
    ),
    "E_HEADER": Code(
        "a table lacks a column, has one twice, or one without a name",
        "name the columns as docs/formats.md says, or mend the adapter's settings",
    ),
    "E_IMAGE_MISSING": Code(
        "an image that a list names is absent",
        "add the file, or drop the line",
    ),
    "E_JOIN": Code(
        "two tables, or a table and its files, do not fit together",
        "mend the key that should link them; the line names both",
    ),
    "E_LABEL": Code(
        "a label or a certainty is no such number",
        "give 0 or 1; certainties are 0 to 5",
    ),
    "E_LABEL_ALIAS": Code(
        "a word for a label is not in the adapter's table",
        "mend the word, or add it to `labels` of image_table",
    ),
    "E_LABEL_CONFLICT": Code(
        "the same image, or a copy of it under another subject, has two labels",
        "keep the right one; give both one subject or group if they differ on purpose",
    ),
    "E_LABEL_RULE": Code(
        "a class contradicts its label, such as `live` with label 1",
        "mend one of them",
    ),
    "E_LAYOUT": Code(
        "a folder or file that belongs to the layout is absent",
        "put or link the data set there; check `root` and the adapter's settings",
    ),
    "E_LEAK_GROUP": Code(
        "one group (video, examination) is in two of train, val and test",
        "set `split.by: subject`, or mend the native splits",
    ),
    "E_LEAK_HASH": Code(
        "the same file is in two of train, val and test",
        "set `split.by: subject`, or drop the copies",
    ),
    "E_LEAK_NEAR": Code(
        "nearly the same picture is in two of train, val and test",
        "set `split.by: subject`, or drop one of the two",
    ),
    "E_LEAK_SUBJECT": Code(
        "one subject is in two of train, val and test",
        "set `split.by: subject`, or mend the native splits",
    ),
    "E_PATH_ESCAPE": Code(
        "a path is absolute, leads out of the data folder, or is a link that does",
        "use relative paths with forward slashes; copy what lies elsewhere",
    ),
    "E_PHI": Code(
        "a DICOM file says that patient data are burned into its pixels",
        "clean the pixels or drop the file; such images are never used",
    ),
    "E_QUARANTINE": Code(
        "more images are unusable than allowed",
        "mend the images that the following lines name, or raise `prepare.max_quarantined`",
    ),
    "E_RLE": Code(
        "a mask of run lengths is no list of whole numbers, or runs past the end of its image",
        "check how the runs are written (order, gaps, first pixel) and for which size of image",
    ),
    "E_ROI": Code(
        "a region is no circle `cx,cy,r` or rectangle `x0,y0,x1,y1`, lies half outside, or shows nothing",
        "give it in px of the image as stored",
    ),
    "E_ROW_SHAPE": Code(
        "a row has more or fewer fields than its header, quotes do not match, or an id has odd characters",
        "write the table as RFC 4180 says; ids have 1 to 200 of A-Z a-z 0-9 . _ : -",
    ),
    "E_SHAPE": Code(
        "an ellipse or outline has no area, is no number, or lies outside its image",
        "give it in px of the image as stored",
    ),
    "E_SOURCE": Code(
        "nothing tells which source an image comes from",
        "give a column, pattern or constant for it; or list `unknown` in `protocol.excluded`",
    ),
    "E_SUBJECT": Code(
        "subject and group of a row contradict each other",
        "give the subject, or leave it blank where it is unknown",
    ),
    "P_LEAK": Code(
        "a file, group or subject of a held-out source is also in train or val",
        "set `split.by: subject`, or exclude one of the two",
    ),
    "P_LEAK_NEG": Code(
        "a negative subject of the open test is also in train",
        "set `split.by: subject`",
    ),
    "P_NO_OPEN": Code(
        "the open test has no held-out row of label 1, or no negative at all",
        "hold out a source of label 1, or hold out none",
    ),
    "P_ONE_CLASS": Code(
        "one of train, val and the closed test lacks a class",
        "give it subjects of both classes; raise `split.val` or `split.test`",
    ),
    "P_SOURCE_ABSENT": Code(
        "the protocol lists a source that no row of that label has",
        "mend the name; the line tells the nearest one",
    ),
    "P_SOURCE_TWICE": Code(
        "the protocol lists a source twice",
        "keep it in one of known, held_out and excluded",
    ),
    "P_SOURCE_UNLISTED": Code(
        "the data have a source that the protocol does not list under that label",
        "add it to known, held_out or excluded",
    ),
    "P_STALE": Code(
        "the protocol belongs to another manifest",
        "run `prepare` again",
    ),
    "W_ANN_SKIPPED": Code(
        "marks without an area, such as points and lines, are left out",
        "draw them as areas if they should count",
    ),
    "W_ANN_SPARSE": Code(
        "fewer than half of the training images of a class have a human map",
        "annotate more, or use unguided methods: guided losses see only these",
    ),
    "W_CALIB": Code(
        "gaze on the screens with which the eye tracker was calibrated",
        "nothing: this is no gaze on a film",
    ),
    "W_DUPLICATE": Code(
        "copies of pictures within a subject or group; `duplicates.csv` lists the pairs",
        "they stay in one split; drop them if unintended, and check that each label is right",
    ),
    "W_EXTRA_FILES": Code(
        "images lie beside the listed ones that no list names",
        "list them, or move them away",
    ),
    "W_HELD_OUT_SUBJECT": Code(
        "known rows share a subject, group or picture with a held-out source",
        "`split.by: subject` only tests them; if too few stay, hold out sources with subjects of their own",
    ),
    "W_LEAK_COPY": Code(
        "pictures of different subjects or groups are copies of each other; `duplicates.csv` lists the pairs",
        "they stay in one split; look at them, drop the copies, and ask why they have two names",
    ),
    "W_LEAK_NATIVE": Code(
        "the data set itself put a subject or a file into two of its splits",
        "the splits used here are checked by themselves; do not quote results on the native ones",
    ),
    "W_MAP_ASPECT": Code(
        "marks refer to an image of other proportions than the one they are put on",
        "check that both show the same part; squeezed marks may lie beside what was meant",
    ),
    "W_MAP_UNUSED": Code(
        "marks belong to none of the images",
        "check the names if these images should be there; else there is nothing to do",
    ),
    "W_MISSING": Code(
        "rows of a list name images that are absent; they are left out, as `missing: skip` says",
        "fetch the files; report how many are left out, and whether they differ from the others",
    ),
    "W_PHI_ABSENT": Code(
        "DICOM files do not say whether identifying text is burned in",
        "look at them before sharing",
    ),
    "W_SHORTCUT": Code(
        "one property of the files, or the source, gives the class away",
        "bring both classes to one format, size and codec, and from the same sources; else report it",
    ),
    "W_SHORTCUT_PIXELS": Code(
        "border, corners, exposure, sharpness or spectrum of the training images alone tell the class",
        "look at `shortcuts.png`; mask, crop or re-encode both classes alike, unless it is the cause itself",
    ),
    "W_SUBJECT": Code(
        "rows have no known subject, so leaks by subject stay unseen",
        "give a subject column or pattern, if there is one",
    ),
    "W_UNCERTAIN": Code(
        "images whose label is uncertain",
        "nothing; or set the adapter's `uncertain: refuse` to see each of them",
    ),
    "W_UNLABELLED": Code(
        "images of which nothing says whether they are normal",
        "nothing: absent from a list is not the same as normal",
    ),
    "W_VIEW": Code(
        "films in another view than the adapter's `views`",
        "nothing; or add the view to `views`",
    ),
}


def document() -> str:
    """docs/codes.md: one table for each kind of code."""
    lines = [
        "# Codes",
        "",
        "A line about data begins with one of these codes, and says where, what was expected and what came.",
        "Written by `python -m pipeline.data.codes > docs/codes.md`.",
    ]
    for kind, told in KINDS.items():
        lines += ["", f"## {kind}_", "", told, "", "| code | meaning | what to do |", "|---|---|---|"]
        lines += [
            f"| `{name}` | {code.meaning} | {code.remedy} |"
            for name, code in CODES.items()
            if name.startswith(kind)
        ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(document(), end="")
