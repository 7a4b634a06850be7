"""One photograph -> embedded faces: decode, detect, align, embed; files through it, in one process or several."""
