"""Names of everyday objects, used as negative phrases in training."""

FOREIGN = (
    "person", "bicycle", "car", "bus", "train", "truck", "boat", "traffic light", "bench", "bird", "cat", "dog",
    "horse", "sheep", "cow", "elephant", "bear", "zebra", "backpack", "umbrella", "handbag", "tie", "suitcase",
    "skateboard", "bottle", "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich",
    "orange", "carrot", "pizza", "cake", "chair", "couch", "potted plant", "bed", "table", "toilet", "television",
    "laptop", "mouse", "keyboard", "phone", "oven", "sink", "refrigerator", "book", "clock", "vase", "scissors",
    "teddy bear", "tree", "flower", "house", "window", "door", "road", "cloud", "hat", "shoe", "glasses", "helmet",
    "ball", "box", "bag", "lamp", "wheel", "sign", "fence", "stone", "leaf", "fish", "insect", "cable", "screw",
)  # fmt: skip
