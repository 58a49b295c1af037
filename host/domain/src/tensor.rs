//! A tensor: numbers of one type in rows and columns, as a guest hands them in and a model gives them out.
//!
//! Where one exists, its bytes are as many as its dimensions and its type say. They lie in the machine's own order at an
//! address that suits every type, so that whoever computes with them needs no copy for that. No arithmetic is here.

use std::fmt;

use crate::limits::TENSOR_DIMENSIONS;

/// What the elements are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TensorType {
    F16,
    F32,
    F64,
    Bf16,
    U8,
    I32,
    I64,
}

impl TensorType {
    pub const ALL: [TensorType; 7] = [
        TensorType::F16,
        TensorType::F32,
        TensorType::F64,
        TensorType::Bf16,
        TensorType::U8,
        TensorType::I32,
        TensorType::I64,
    ];

    /// Bytes of one element.
    pub const fn size(self) -> usize {
        match self {
            TensorType::U8 => 1,
            TensorType::F16 | TensorType::Bf16 => 2,
            TensorType::F32 | TensorType::I32 => 4,
            TensorType::F64 | TensorType::I64 => 8,
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            TensorType::F16 => "f16",
            TensorType::F32 => "f32",
            TensorType::F64 => "f64",
            TensorType::Bf16 => "bf16",
            TensorType::U8 => "u8",
            TensorType::I32 => "i32",
            TensorType::I64 => "i64",
        }
    }
}

impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why something is no tensor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotATensor {
    #[error("it has {0} dimensions, and at most {TENSOR_DIMENSIONS} are possible")]
    Dimensions(usize),
    #[error("its dimensions {} are more than there can be", Shape(.0))]
    Overflow(Vec<u32>),
    #[error("{} of {ty} are {wanted} bytes, and {given} were given", Shape(.dimensions))]
    Length { dimensions: Vec<u32>, ty: TensorType, wanted: usize, given: usize },
}

#[derive(Clone, PartialEq)]
pub struct Tensor {
    ty: TensorType,
    dimensions: Vec<u32>,
    /// In words, for their alignment; only the first `length` bytes are the tensor's.
    words: Vec<u64>,
    length: usize,
}

impl Tensor {
    /// Bytes that a tensor of these dimensions has.
    pub fn bytes_of(ty: TensorType, dimensions: &[u32]) -> Result<usize, NotATensor> {
        if dimensions.len() > TENSOR_DIMENSIONS {
            return Err(NotATensor::Dimensions(dimensions.len()));
        }
        let size = |all: usize, one: &u32| all.checked_mul(usize::try_from(*one).ok()?);
        let bytes = dimensions.iter().try_fold(ty.size(), size).filter(|bytes| isize::try_from(*bytes).is_ok());
        bytes.ok_or_else(|| NotATensor::Overflow(dimensions.to_vec()))
    }

    /// Copies `data`, once.
    pub fn new(ty: TensorType, dimensions: Vec<u32>, data: &[u8]) -> Result<Tensor, NotATensor> {
        let wanted = Tensor::bytes_of(ty, &dimensions)?;
        if wanted != data.len() {
            return Err(NotATensor::Length { dimensions, ty, wanted, given: data.len() });
        }
        let mut words = Vec::with_capacity(wanted.div_ceil(size_of::<u64>()));
        let (whole, rest) = data.as_chunks::<8>();
        words.extend(whole.iter().map(|bytes| u64::from_ne_bytes(*bytes)));
        if !rest.is_empty() {
            let mut last = [0; 8];
            last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
            words.push(u64::from_ne_bytes(last));
        }
        Ok(Tensor { ty, dimensions, words, length: wanted })
    }

    /// A tensor of zeros, to be written.
    pub fn zeros(ty: TensorType, dimensions: Vec<u32>) -> Result<Tensor, NotATensor> {
        let length = Tensor::bytes_of(ty, &dimensions)?;
        Ok(Tensor { ty, dimensions, words: vec![0; length.div_ceil(size_of::<u64>())], length })
    }

    pub fn ty(&self) -> TensorType {
        self.ty
    }

    pub fn dimensions(&self) -> &[u32] {
        &self.dimensions
    }

    pub fn data(&self) -> &[u8] {
        bytemuck::cast_slice(&self.words).split_at(self.length).0
    }

    pub fn data_mut(&mut self) -> &mut [u8] {
        bytemuck::cast_slice_mut(&mut self.words).split_at_mut(self.length).0
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", Shape(&self.dimensions), self.ty)
    }
}

/// Dimensions as people write them: `[1, 3, 32, 32]`.
pub(crate) struct Shape<'a>(pub(crate) &'a [u32]);

impl fmt::Display for Shape<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<String> = self.0.iter().map(u32::to_string).collect();
        write!(f, "[{}]", all.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Type, dimensions, bytes given, and what becomes of it.
    #[test]
    fn bytes_are_as_many_as_the_dimensions_say() {
        let most = u32::MAX;
        for (ty, dimensions, given, expected) in [
            (TensorType::F32, vec![2, 3], 24, Ok(())),
            (TensorType::F32, vec![], 4, Ok(())),
            (TensorType::U8, vec![0, 5], 0, Ok(())),
            (TensorType::U8, vec![3], 3, Ok(())),
            (TensorType::F64, vec![2], 15, Err("[2] of f64 are 16 bytes, and 15 were given")),
            (TensorType::I64, vec![most, most, 2], 8, Err("its dimensions [4294967295, 4294967295, 2] are more than")),
            (TensorType::U8, vec![1; 17], 1, Err("it has 17 dimensions, and at most 16 are possible")),
        ] {
            let data: Vec<u8> = (0..given).collect();
            match (Tensor::new(ty, dimensions.clone(), &data), expected) {
                (Ok(tensor), Ok(())) => assert_eq!((tensor.data(), tensor.dimensions()), (&data[..], &dimensions[..])),
                (Err(error), Err(text)) => assert!(error.to_string().contains(text), "{error}"),
                (other, _) => panic!("{dimensions:?}: {other:?}"),
            }
        }
    }

    #[test]
    fn every_type_can_be_read_where_the_bytes_lie() {
        for length in 1..20u32 {
            let data = vec![7; length as usize];
            let tensor = Tensor::new(TensorType::U8, vec![length], &data).unwrap();
            assert_eq!(tensor.data().as_ptr().align_offset(align_of::<u64>()), 0);
            assert_eq!(tensor.data(), data);
        }
    }
}
