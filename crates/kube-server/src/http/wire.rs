//! Protobuf's wire format: numbered fields, without knowing what they mean.

pub const BROKEN: &str = "the protobuf body is damaged or cut off";

/// One field's value as it is on the wire.
#[derive(Clone, Copy)]
pub enum Wire<'b> {
    Number(u64),
    Fixed(u64),
    Bytes(&'b [u8]),
}

impl<'b> Wire<'b> {
    /// The fields of a message in their order.
    ///
    /// # Errors
    /// When the bytes are no message.
    pub fn fields(mut bytes: &'b [u8]) -> Result<Vec<(u64, Wire<'b>)>, String> {
        let mut fields = Vec::new();
        while !bytes.is_empty() {
            let tag = varint(&mut bytes)?;
            let wire = match tag & 7 {
                0 => Wire::Number(varint(&mut bytes)?),
                1 => {
                    let (value, rest) = bytes.split_first_chunk().ok_or(BROKEN)?;
                    bytes = rest;
                    Wire::Fixed(u64::from_le_bytes(*value))
                }
                2 => {
                    let length = usize::try_from(varint(&mut bytes)?).map_err(|_| BROKEN)?;
                    let (value, rest) = bytes.split_at_checked(length).ok_or(BROKEN)?;
                    bytes = rest;
                    Wire::Bytes(value)
                }
                _ => return Err(BROKEN.to_owned()),
            };
            fields.push((tag >> 3, wire));
        }
        Ok(fields)
    }

    pub fn number(self) -> Result<u64, String> {
        if let Wire::Number(number) = self { Ok(number) } else { Err(BROKEN.to_owned()) }
    }

    pub fn double(self) -> Result<f64, String> {
        if let Wire::Fixed(bits) = self { Ok(f64::from_bits(bits)) } else { Err(BROKEN.to_owned()) }
    }

    pub fn bytes(self) -> Result<&'b [u8], String> {
        if let Wire::Bytes(bytes) = self { Ok(bytes) } else { Err(BROKEN.to_owned()) }
    }

    pub fn text(self) -> Result<String, String> {
        String::from_utf8(self.bytes()?.to_vec()).map_err(|_| "the protobuf body has text that is not UTF-8".to_owned())
    }
}

fn varint(bytes: &mut &[u8]) -> Result<u64, String> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first().ok_or(BROKEN)?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(BROKEN.to_owned())
}
