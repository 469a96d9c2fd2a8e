/// A file to be embedded in a recording.
#[derive(Clone, Copy, Debug)]
pub struct Attachment<'a> {
    /// Name in the recording: `kernel`, `initrd`, `firmware`…
    pub name: &'a str,
    /// Its bytes.
    pub data: &'a [u8],
}

/// Where an attachment's bytes are in the file.
#[derive(Clone, Debug)]
pub(super) struct Span {
    pub(super) name: String,
    pub(super) offset: u64,
    pub(super) length: u64,
}

/// Media type of every attachment: they are the user's files, unchanged.
pub(super) const MEDIA_TYPE: &str = "application/octet-stream";

/// Bytes of an attachment record that are read to find its header; names are far shorter.
pub(super) const HEADER_WINDOW: u64 = 4096;

/// Length of the CRC at the end of the record.
const CRC_LENGTH: u64 = 4;

/// Finds the data in an attachment record (MCAP specification, "Attachment (op=0x09)") from the record's first bytes.
///
/// `body` is the offset of the record's body in the file and `length` the body's length; nothing is believed beyond them.
pub(super) fn locate(head: &[u8], body: u64, length: u64) -> Option<Span> {
    let mut fields = head;
    take(&mut fields, 16)?; // log time and create time
    let name = string(&mut fields)?;
    string(&mut fields)?; // media type
    let data = u64::from_le_bytes(take(&mut fields, 8)?.try_into().ok()?);
    let header = (head.len() - fields.len()) as u64;
    let whole = header.checked_add(data)?.checked_add(CRC_LENGTH)?;
    (whole == length).then(|| Span { name: name.to_owned(), offset: body + header, length: data })
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(taken)
}

fn string<'a>(bytes: &mut &'a [u8]) -> Option<&'a str> {
    let length = u32::from_le_bytes(take(bytes, 4)?.try_into().ok()?);
    std::str::from_utf8(take(bytes, length as usize)?).ok()
}
