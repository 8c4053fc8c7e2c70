import pytest
import torch

from cleanplate.network import SttnConfig, SttnNetwork, save


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "small.safetensors"
    save(SttnNetwork(SttnConfig(channels=8, widths=(4, 4), blocks=1, scales=(1, 2))), path)
    return path


def test_list_names_that_can_be_given(run):
    outcome = run("models", "list")
    assert outcome.code == 0
    names = [line.split()[0] for line in outcome.out.splitlines()]
    assert names == ["default"]
    for name in names:
        assert run("models", "verify", name).code == 0


def test_show(run, checkpoint):
    outcome = run("models", "show", checkpoint)
    assert outcome.code == 0
    assert "architecture  sttn" in outcome.out
    assert "F32" in outcome.out


def test_verify(run, checkpoint):
    assert run("models", "verify", checkpoint).code == 0
    checkpoint.write_bytes(checkpoint.read_bytes()[:-100])
    outcome = run("models", "verify", checkpoint)
    assert outcome.code == 2
    assert outcome.err.count("\n") == 1


def test_convert(run, checkpoint, tmp_path):
    target = tmp_path / "half.safetensors"
    assert run("models", "convert", checkpoint, target, "--half").code == 0
    assert "F16" in run("models", "show", target).out
    outcome = run("models", "convert", checkpoint, target)
    assert outcome.code == 2
    assert "exists" in outcome.err
    assert run("models", "convert", checkpoint, target, "--overwrite").code == 0
    assert "neither .safetensors nor .pth" in run("models", "convert", target, "a.bin").err
    assert "leave --half out" in run("models", "convert", target, "a.pth", "--half").err


def test_only_the_paper_s_network_goes_back_to_the_released_code(run, checkpoint, tmp_path):
    outcome = run("models", "convert", checkpoint, tmp_path / "small.pth")
    assert outcome.code == 2
    assert "small.pth: the released code knows the paper's network only" in outcome.err
    assert not list(tmp_path.glob("*.pth"))


@pytest.mark.slow
def test_convert_a_released_file(run, tmp_path, monkeypatch):
    with torch.device("meta"):
        shapes = {name: t.shape for name, t in SttnNetwork(SttnConfig()).state_dict().items()}
    path = tmp_path / "released.pth"
    torch.save({"netG": {name: torch.zeros(shape) for name, shape in shapes.items()}}, path)
    target = tmp_path / "ours.safetensors"
    assert run("models", "convert", path, target, "--half").code == 0
    assert "16,5" in run("models", "show", target).out
    back = tmp_path / "back.pth"
    assert run("models", "convert", target, back).code == 0
    assert torch.load(back, weights_only=True)["netG"].keys() == shapes.keys()
    assert run("models", "verify", back).code == 0


def test_a_conversion_replaces_neither_what_it_reads_nor_a_device(run, checkpoint, tmp_path):
    before = checkpoint.read_bytes()
    (tmp_path / "link.pth").symlink_to(checkpoint)
    for target in (checkpoint, tmp_path / "link.pth"):
        outcome = run("models", "convert", checkpoint, target, "--overwrite")
        assert (outcome.code, "would replace" in outcome.err) == (2, True)
    (tmp_path / "null.safetensors").symlink_to("/dev/null")
    outcome = run("models", "convert", checkpoint, tmp_path / "null.safetensors", "--overwrite")
    assert "is a device" in outcome.err
    assert checkpoint.read_bytes() == before
    assert (tmp_path / "null.safetensors").is_symlink()
