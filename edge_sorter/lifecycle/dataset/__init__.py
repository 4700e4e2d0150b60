"""Data sets: brought into one form, examined, split without leaks, and shown as training will see them.

Contract: a data set is a folder with `images/`, `labels/` (YOLO) and `dataset.json`; its sha256 depends on pictures,
labels, classes and groups only, not on file order, file names or the machine. Nothing is ever overwritten.

    reading/     YOLO, COCO, VOC, CVAT, our journals -> values.Draft
    importing    drafts -> the folder
    examine/     the folder -> findings, report
    splitting    the folder -> train.txt, valid.txt, test.txt, data.yaml, split.json
    augment      one picture -> what training sees of it
"""
