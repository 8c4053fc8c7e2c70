"""What stands beside the pictures: sound that is heard at its time, and metadata."""

from __future__ import annotations

import re
from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
import pytest

from cleanplate import removal
from cleanplate.errors import OutputError
from cleanplate.video import open_reader, open_writer, probe
from cleanplate.video.encoding import list_codecs

NTSC = Fraction(30000, 1001)
MASTERING = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"


def copy(source, target):
    """Write the pictures of `source` as they are, with all that goes with them."""
    info = probe(source)
    nothing = np.zeros(info.size.shape, np.bool_)
    with open_reader(source, info) as reader, open_writer(target, info) as writer:
        for picture in reader:
            writer.write(picture, picture.rgb, nothing)
    return target


def times(path):
    with open_reader(path) as reader:
        return [picture.time for picture in reader]


def test_what_an_mp4_hides_before_its_beginning_moves_nothing_in_matroska(
    make_clip, packets, tmp_path
):
    source = make_clip(audio=["deu"])
    hidden = packets(source, "audio")[0][0][1]
    assert hidden < 0  # AAC's delay, behind an edit list

    target = copy(source, tmp_path / "b.mkv")

    assert times(target) == times(source)
    assert packets(target, "audio")[0][0][1] == 0
    assert len(packets(target, "audio")[0]) == len(packets(source, "audio")[0]) - 1


def test_sound_that_is_hidden_for_its_smaller_part_begins_at_0_in_matroska(
    make_clip, packets, tmp_path
):
    source = make_clip(audio=["deu"], audio_codec="mp2")
    first, second = packets(source, "audio")[0][:2]
    assert first[1] < 0 < second[1] > -first[1]
    copied = packets(copy(source, tmp_path / "b.mkv"), "audio")[0]
    assert copied[:2] == [(first[0], 0), (second[0], Fraction(round(second[1] * 1000), 1000))]
    assert times(tmp_path / "b.mkv") == times(source)


def test_opus_keeps_its_own_delay_in_matroska(make_clip, packets, tmp_path):
    source = make_clip("a.mkv", audio=["deu"], audio_codec="libopus")
    target = copy(source, tmp_path / "b.mkv")
    assert packets(target, "audio") == packets(source, "audio")
    assert packets(target, "audio")[0][0][1] < 0


def test_the_channels_of_an_avi_are_named_in_mp4(make_clip, packets, tmp_path):
    source = make_clip(
        "a.avi", codec="mjpeg", pixel_format="yuvj420p", audio=["deu"], audio_codec="pcm_s16le"
    )
    target = copy(source, tmp_path / "b.mp4")
    with av.open(str(target)) as container:
        assert container.streams.audio[0].codec_context.layout.name == "stereo"
    heard = [b"".join(data for data, _ in packets(path, "audio")[0]) for path in (source, target)]
    assert heard[0] == heard[1]


def test_packets_without_a_time_follow_the_one_before(make_clip, packets, tmp_path):
    vorbis = {"audio_codec": "vorbis", "audio_options": {"strict": "experimental"}}
    source = make_clip("a.ogv", codec="libvpx", audio=["deu"], **vorbis)
    with av.open(str(source)) as container:
        sound = [packet for packet in container.demux(container.streams.audio[0]) if packet.size]
    assert any(packet.pts is None for packet in sound)

    copied = packets(copy(source, tmp_path / "b.mp4"), "audio")[0]

    assert [data for data, _ in copied] == [bytes(packet) for packet in sound]
    assert all(first[1] < second[1] for first, second in pairwise(copied))


def test_a_refusal_names_only_what_would_work(make_clip, tmp_path):
    text = make_clip("a.mkv", subtitles=["deu"])
    with pytest.raises(OutputError, match=r"use \.mkv$"):
        copy(text, tmp_path / "b.mp4")

    assert not any("adpcm_ms" in list_codecs(muxer) for muxer in ("mp4", "mov", "matroska"))
    old = make_clip("a.avi", codec="mpeg4", audio=["deu"], audio_codec="adpcm_ms")
    with pytest.raises(OutputError, match=r"no kind of file .*`audio=False`.* folder of PNGs"):
        copy(old, tmp_path / "b.mkv")


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_sound_that_no_file_holds_is_left_out(make_clip, tmp_path, packets, suffix):
    old = make_clip("a.avi", codec="mpeg4", audio=["deu"], audio_codec="adpcm_ms")
    output = tmp_path / f"b{suffix}"
    with pytest.raises(OutputError, match="audio=False"):
        removal.remove(old, output, box="1,1,9,9", method="flow")
    report = removal.remove(old, output, box="1,1,9,9", method="flow", audio=False)
    assert "not copied: stream 1 (sound)" in report.notes
    assert report.origin["options"]["audio"] is False
    assert packets(output, "audio") == []
    assert len(packets(output, "video")[0]) == len(packets(old, "video")[0])


def test_subtitles_stay_without_the_sound(make_clip, tmp_path, packets):
    source = make_clip("a.mkv", audio=["deu", "eng"], subtitles=["deu"])
    removal.remove(source, tmp_path / "b.mkv", box="1,1,9,9", method="flow", audio=False)
    assert packets(tmp_path / "b.mkv", "audio") == []
    assert packets(tmp_path / "b.mkv", "subtitle") == packets(source, "subtitle")


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_what_phones_write_about_a_film_is_kept(make_clip, tmp_path, suffix):
    facts = {
        "com.apple.quicktime.make": "Apple",
        "com.apple.quicktime.location.ISO6709": "+48.1+011.5/",
        "creation_time": "2026-11-27T10:00:00.000000Z",
    }
    source = make_clip(metadata=facts, movflags="use_metadata_tags")
    with av.open(str(copy(source, tmp_path / f"b{suffix}"))) as container:
        assert facts.items() <= dict(container.metadata).items()


def test_pictures_begin_where_they_did_to_the_tick(make_clip, tmp_path):
    source = make_clip("a.nut", rate=NTSC, pts=range(1, 9), options={"bf": "0"})
    assert times(source)[0] == 1 / NTSC
    assert times(copy(source, tmp_path / "b.mp4")) == times(source)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_the_last_picture_is_shown_as_long_as_before(make_clip, tmp_path, suffix):
    source = make_clip(pts=[0, 25, 50, 75])  # slides of a second, and an end cut short
    target = copy(source, tmp_path / f"b{suffix}")
    with av.open(str(source)) as before, av.open(str(target)) as after:
        assert before.duration == after.duration == 3.04 * av.time_base


@pytest.mark.parametrize(("codec", "names"), [("libx265", "x265"), ("libx264", "x264")])
def test_what_hdr_says_of_its_light_is_kept(make_clip, tmp_path, codec, names):
    words = {"x265": f"log-level=none:hdr10=1:master-display={MASTERING}:max-cll=1000,400"}
    words["x264"] = f"mastering-display={MASTERING}:cll=1000,400"
    source = make_clip(
        codec=codec,
        pixel_format="yuv420p10le",
        color=(1, 9, 9, 16),
        options={f"{names}-params": words[names]},
    )
    info = probe(source)
    assert (info.mastering, info.content_light) == (MASTERING, "1000,400")

    result = probe(copy(source, tmp_path / "b.mp4"))

    assert (result.mastering, result.content_light) == (MASTERING, "1000,400")
    assert result.codec == info.codec  # what plays HDR plays no 10-bit H.264
    assert (result.color_matrix, result.color_primaries, result.color_transfer) == (9, 9, 16)


def test_pixels_that_are_not_square_are_not_lost_silently(make_clip, tmp_path):
    fields = {"codec": "libvpx-vp9", "size": (65, 49), "options": {"cpu-used": "8"}}
    source = make_clip(**fields, aspect=Fraction(16, 11))
    with pytest.raises(OutputError, match=r"pixels of the shape 16/11 .* use \.mp4"):
        copy(source, tmp_path / "b.mkv")
    assert probe(copy(source, tmp_path / "b.mp4")).sample_aspect_ratio == Fraction(16, 11)


def caption(number):
    """The SEI message (ATSC A/53) of a frame's two bytes of CEA-608 captions."""
    letters = bytes([0xFC, 0x94, 0x20 + number, 0xFD, 0x80, 0x80])
    body = b"\xb5\x00\x31GA94\x03" + bytes([0x42, 0xFF]) + letters + b"\xff"
    return b"\0\0\0\1\x06\x04" + bytes([len(body)]) + body + b"\x80"


def captions(path):
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    return [[bytes(d) for d in frame.side_data if d.type.name == "A53_CC"] for frame in frames]


def test_captions_inside_the_pictures_stay_where_something_is_removed(make_clip, tmp_path):
    plain = make_clip("a.h264", options={"bf": "0"}).read_bytes()
    pieces = re.split(rb"(?=\x00\x00\x01[\x41\x65\x01\x61])", plain)  # before each frame's slice
    assert len(pieces) == 9
    source = tmp_path / "captions.h264"
    source.write_bytes(
        pieces[0] + b"".join(caption(n) + piece for n, piece in enumerate(pieces[1:]))
    )
    assert [len(found) for found in captions(source)] == [1] * 8

    info = probe(source)
    hole = np.zeros(info.size.shape, np.bool_)
    hole[5:22, 7:30] = True
    with open_reader(source, info) as reader, open_writer(tmp_path / "b.mp4", info) as writer:
        for picture in reader:
            writer.write(picture, 255 - picture.rgb, hole & (picture.index % 2 > 0))

    assert captions(tmp_path / "b.mp4") == captions(source)


@pytest.mark.parametrize(("suffix", "left"), [(".mp4", "1 (attached file)"), (".mkv", "")])
def test_what_is_not_copied_is_said(make_clip, tmp_path, suffix, left):
    source = make_clip("a.mkv", attachment=b"a font")
    info = probe(source)
    with open_reader(source, info) as reader, open_writer(tmp_path / f"b{suffix}", info) as writer:
        for picture in reader:
            writer.write(picture, picture.rgb, np.zeros(info.size.shape, np.bool_))
    assert writer.notes == ((f"not copied: stream {left}",) if left else ())


def test_a_second_picture_is_not_copied_and_that_is_said(make_clip, tmp_path):
    source = tmp_path / "two.mkv"
    with av.open(str(make_clip("a.mkv"))) as one, av.open(str(source), "w") as two:
        tracks = [two.add_stream_from_template(one.streams.video[0]) for _ in range(2)]
        for packet in one.demux():
            data, times = bytes(packet), (packet.pts, packet.dts, packet.time_base)
            for track in tracks if data else []:
                again = av.Packet(data)
                again.pts, again.dts, again.time_base = times
                again.is_keyframe = packet.is_keyframe
                again.stream = track
                two.mux(again)
    info = probe(source)
    with open_reader(source, info) as reader, open_writer(tmp_path / "b.mkv", info) as writer:
        for picture in reader:
            writer.write(picture, picture.rgb, np.zeros(info.size.shape, np.bool_))
    assert writer.notes == ("not copied: stream 1 (video)",)
