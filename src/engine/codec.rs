//! Little-endian bytes, read with every length checked.

use super::delta::CorruptDelta;
use super::fingerprint::{DriverPrint, Fingerprint, RAWS, TEXTS};
use super::quote::ChannelKind;
use super::time::Date;

/// What is left to read.
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], CorruptDelta> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(CorruptDelta("it ends early"))?;
        self.0 = rest;
        Ok(*head)
    }

    pub fn u8(&mut self) -> Result<u8, CorruptDelta> {
        Ok(self.take::<1>()?[0])
    }

    pub fn u16(&mut self) -> Result<u16, CorruptDelta> {
        self.take().map(u16::from_le_bytes)
    }

    pub fn u32(&mut self) -> Result<u32, CorruptDelta> {
        self.take().map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Result<u64, CorruptDelta> {
        self.take().map(u64::from_le_bytes)
    }

    pub fn u128(&mut self) -> Result<u128, CorruptDelta> {
        self.take().map(u128::from_le_bytes)
    }

    pub fn f32(&mut self) -> Result<f32, CorruptDelta> {
        self.take().map(f32::from_le_bytes)
    }

    /// A 16-bit length, then that many bytes.
    pub fn bytes(&mut self) -> Result<&'a [u8], CorruptDelta> {
        let length = usize::from(self.u16()?);
        let (head, rest) = self.0.split_at_checked(length).ok_or(CorruptDelta("it ends early"))?;
        self.0 = rest;
        Ok(head)
    }
}

/// A 16-bit length, then the bytes; what is longer is cut (nothing the engine stores is).
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = bytes.len().min(usize::from(u16::MAX));
    out.extend_from_slice(&(length as u16).to_le_bytes());
    out.extend_from_slice(&bytes[..length]);
}

impl Fingerprint {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_bytes(out, self.arena.as_bytes());
        self.ends.iter().for_each(|end| out.extend_from_slice(&end.to_le_bytes()));
        self.raw.iter().chain(&self.visual).for_each(|hash| out.extend_from_slice(&hash.to_le_bytes()));
        out.extend_from_slice(&self.disguised.to_le_bytes());
        out.extend_from_slice(&[self.cyrillic, u8::from(self.mixed_script), self.channel as u8]);
        out.extend_from_slice(&self.year.to_le_bytes());
        for number in [self.birth_date.0, self.surname_code] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        for number in [self.power, self.term, self.deductible] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.premium.to_le_bytes());
        for number in [self.extra, self.device, self.session, self.ip] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.push(self.drivers.len() as u8);
        for driver in &self.drivers {
            for number in [driver.name, driver.given, driver.licence, driver.birth_date.0, driver.licensed_since.0] {
                out.extend_from_slice(&number.to_le_bytes());
            }
        }
    }

    pub(super) fn decode(reader: &mut Reader) -> Result<Fingerprint, CorruptDelta> {
        let arena = std::str::from_utf8(reader.bytes()?).map_err(|_| CorruptDelta("text is not UTF-8"))?;
        let mut print = Fingerprint { arena: arena.into(), ..Fingerprint::default() };
        for i in 0..TEXTS {
            print.ends[i] = reader.u16()?;
        }
        for i in 0..RAWS {
            print.raw[i] = reader.u32()?;
        }
        for i in 0..3 {
            print.visual[i] = reader.u32()?;
        }
        print.disguised = reader.u32()?;
        print.cyrillic = reader.u8()?;
        print.mixed_script = reader.u8()? != 0;
        let kind = usize::from(reader.u8()?);
        print.channel = *ChannelKind::ALL.get(kind).ok_or(CorruptDelta("an unknown channel"))?;
        print.year = reader.u16()?;
        print.birth_date = Date(reader.u32()?);
        print.surname_code = reader.u32()?;
        print.power = reader.f32()?;
        print.term = reader.f32()?;
        print.deductible = reader.f32()?;
        print.premium = f64::from_bits(reader.u64()?);
        print.extra = reader.u64()?;
        print.device = reader.u64()?;
        print.session = reader.u64()?;
        print.ip = reader.u64()?;
        let drivers = reader.u8()?;
        print.drivers = (0..drivers).map(|_| read_driver(reader)).collect::<Result<_, _>>()?;
        Ok(print)
    }
}

fn read_driver(reader: &mut Reader) -> Result<DriverPrint, CorruptDelta> {
    Ok(DriverPrint {
        name: reader.u32()?,
        given: reader.u32()?,
        licence: reader.u32()?,
        birth_date: Date(reader.u32()?),
        licensed_since: Date(reader.u32()?),
    })
}
