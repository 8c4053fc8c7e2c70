"""Read and write video and image sequences; only this package uses PyAV."""

from cleanplate.video.info import Picture, VideoInfo, turn_upright
from cleanplate.video.probe import probe
from cleanplate.video.reader import Reader, Timeline, open_reader, read_timeline, sample_pictures
from cleanplate.video.writer import Writer, open_writer

__all__ = [
    "Picture",
    "Reader",
    "Timeline",
    "VideoInfo",
    "Writer",
    "open_reader",
    "open_writer",
    "probe",
    "read_timeline",
    "sample_pictures",
    "turn_upright",
]
