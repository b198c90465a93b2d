"""Standard error that nobody reads for a while holds nobody up."""

from __future__ import annotations

import os

from borough.cli.patient_stream import PatientStream


def read_all(file_number: int) -> bytes:
    with open(file_number, "rb") as file:
        return file.read()


def test_what_is_written_arrives_in_order() -> None:
    there, here = os.pipe()
    stream = PatientStream(here)
    for number in range(1000):
        stream.write(f"{number}\n")
    stream.close(5.0)
    os.close(here)
    assert read_all(there).split() == [str(number).encode() for number in range(1000)]


def test_a_reader_that_stands_still_costs_lines_and_nobody_s_time() -> None:
    there, here = os.pipe()
    stream = PatientStream(here, most_bytes=100_000)
    line = "x" * 999 + "\n"
    for _ in range(1000):  # ten times what a pipe and the stream can hold
        stream.write(line)
    stream.close(0.0)  # does not wait for what cannot be written
    took = bytearray()
    while b"missing" not in took:
        took += os.read(there, 65536)
    *lines, last = bytes(took).decode().splitlines(keepends=True)
    assert set(lines) == {line}
    assert last == f"... {1000 - len(lines)} lines are missing here, as nobody read them\n"
    os.close(there)
    os.close(here)


def test_a_reader_that_has_left_is_no_fault() -> None:
    there, here = os.pipe()
    os.close(there)
    stream = PatientStream(here)
    stream.write("to nobody\n")
    stream.close(5.0)
    os.close(here)
