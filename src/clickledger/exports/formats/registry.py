"""Every file format there is."""

from collections.abc import Mapping

from clickledger.exports.formats import as_csv, as_json, as_xml
from clickledger.exports.formats.model import Format
from clickledger.exports.model import ResultFormat

FORMATS: Mapping[ResultFormat, Format] = {
    ResultFormat.CSV: as_csv.FORMAT,
    ResultFormat.JSON: as_json.FORMAT,
    ResultFormat.XML: as_xml.FORMAT,
}
