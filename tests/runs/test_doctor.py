"""What ``algd doctor`` finds, on this machine and on broken ones."""

import dataclasses
import json

import jax
import pytest

from algd_jax.runs import doctor


@dataclasses.dataclass
class Device:
    platform: str
    device_kind: str


CPU, GPU = Device("cpu", "cpu"), Device("gpu", "NVIDIA H100")


def test_this_machine_is_told(algd):
    code, out, err = algd("doctor")
    assert (code, err) == (0, "")
    assert f"jax {jax.__version__}" in out
    assert "nothing is wrong" in out


def test_scripts_can_read_it(algd):
    code, out, _ = algd("doctor", "--json")
    findings = {finding["name"]: finding for finding in json.loads(out)}
    assert code == 0
    assert findings["JAX"]["fix"] is None
    assert {"devices", "simulator", "memory", "compilation cache"} <= findings.keys()


def test_what_is_wrong_is_told_with_its_fix(algd, monkeypatch):
    monkeypatch.setattr(doctor, "has_nvidia_driver", lambda: True)
    monkeypatch.setattr(doctor, "available_memory", lambda device: 2**30)
    code, out, _ = algd("doctor")
    assert code == 1
    assert 'pip install "algd-jax[cuda]"' in " ".join(out.split())


def test_devices_are_counted():
    assert doctor.devices([GPU, GPU], True) == doctor.Finding("devices", "2 x NVIDIA H100")
    finding = doctor.devices([CPU], False)
    assert finding.value.startswith("1 x cpu (")
    assert finding.fix is None
    assert "JAX finds no GPU" in doctor.devices([CPU], True).fix


@pytest.mark.parametrize(
    ("mujoco", "mjx", "fine"),
    [
        ("3.17.0", "3.17.0", True),
        ("3.17.1", "3.17.0", True),
        ("4.0.0", "3.17.0", False),
        ("3.17.0", None, False),
        (None, None, False),
    ],
)
def test_mujoco_and_mjx_must_be_of_one_release(mujoco, mjx, fine):
    finding = doctor.simulator({"mujoco": mujoco, "mujoco-mjx": mjx})
    assert (finding.fix is None) == fine
    if not fine:
        assert finding.fix.endswith('pip install "mujoco~=3.17.0" "mujoco-mjx~=3.17.0"')


def test_too_little_memory_is_told():
    assert doctor.memory(2**30, 8 * 2**30).fix is None
    assert "4.00 GiB" in doctor.memory(2**30, 2**30).fix


def test_a_cache_is_measured_or_told_why_not(tmp_path):
    settings = {"jax_enable_compilation_cache": True, "jax_compilation_cache_dir": str(tmp_path)}
    (tmp_path / "program").write_bytes(bytes(2**20))
    assert doctor.cache(settings) == doctor.Finding(
        "compilation cache", f"{tmp_path}: 1 files, 0.00 GiB"
    )
    below_a_file = settings | {"jax_compilation_cache_dir": str(tmp_path / "program" / "cache")}
    assert doctor.cache(below_a_file).fix.startswith("Not a directory: name another folder")
    off = settings | {"jax_enable_compilation_cache": False}
    assert "unset JAX_ENABLE_COMPILATION_CACHE" in doctor.cache(off).fix
