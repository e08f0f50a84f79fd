"""Records, and readers for every data set of the field."""

from ultraedit.data.forms import FORMS, DataForm
from ultraedit.data.forms.plain import plain_row
from ultraedit.data.read import read_records
from ultraedit.data.record import Probe, Record
from ultraedit.data.report import BadRow, ReadReport

__all__ = [
    "FORMS",
    "BadRow",
    "DataForm",
    "Probe",
    "ReadReport",
    "Record",
    "plain_row",
    "read_records",
]
