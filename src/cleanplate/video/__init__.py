"""Read and write video and image sequences; only this package uses PyAV."""

from cleanplate.video.destination import name_output
from cleanplate.video.info import Excerpt, Picture, VideoInfo, turn_upright
from cleanplate.video.probe import probe
from cleanplate.video.reader import Reader, open_reader, sample_pictures
from cleanplate.video.timeline import Timeline, cut, read_timeline
from cleanplate.video.writer import Writer, open_writer

__all__ = [
    "Excerpt",
    "Picture",
    "Reader",
    "Timeline",
    "VideoInfo",
    "Writer",
    "cut",
    "name_output",
    "open_reader",
    "open_writer",
    "probe",
    "read_timeline",
    "sample_pictures",
    "turn_upright",
]
