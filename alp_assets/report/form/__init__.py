"""The collection form: what a customer gets before recording, a page and a spreadsheet for each machine type."""

from alp_assets.report.form.machine_types import read_machine_types
from alp_assets.report.form.write import WrittenForms, write_forms

__all__ = ["WrittenForms", "read_machine_types", "write_forms"]
