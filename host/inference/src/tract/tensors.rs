//! Between the tensors of guests and those of tract: each is copied once.

use bytemuck::Pod;
use edgewit_domain::tensor::{Tensor, TensorType};
use half::f16;
use half::slice::HalfFloatSliceExt;
use tract_onnx::tract_core::internal::{Datum, DatumType, TValue, TractResult, bail};
use tract_onnx::tract_core::prelude as tract;

/// As tract calls it. There is no bf16.
pub(super) fn datum(ty: TensorType) -> Option<DatumType> {
    match ty {
        TensorType::F16 => Some(DatumType::F16),
        TensorType::F32 => Some(DatumType::F32),
        TensorType::F64 => Some(DatumType::F64),
        TensorType::Bf16 => None,
        TensorType::U8 => Some(DatumType::U8),
        TensorType::I32 => Some(DatumType::I32),
        TensorType::I64 => Some(DatumType::I64),
    }
}

/// `wanted` differs from the tensor's own type where the model computes with half of its precision.
pub(super) fn into_tract(tensor: &Tensor, wanted: DatumType) -> TractResult<TValue> {
    let shape: Vec<usize> = tensor.dimensions().iter().copied().map(usize::try_from).collect::<Result<_, _>>()?;
    let data = tensor.data();
    let copy = match tensor.ty() {
        TensorType::F16 => copied::<f16>(&shape, data)?,
        TensorType::F32 if wanted == DatumType::F16 => {
            let numbers: &[f32] = slice(data)?;
            let mut halves = vec![f16::ZERO; numbers.len()];
            halves.convert_from_f32_slice(numbers);
            tract::Tensor::from_shape(&shape, &halves)?
        }
        TensorType::F32 => copied::<f32>(&shape, data)?,
        TensorType::F64 => copied::<f64>(&shape, data)?,
        TensorType::U8 => copied::<u8>(&shape, data)?,
        TensorType::I32 => copied::<i32>(&shape, data)?,
        TensorType::I64 => copied::<i64>(&shape, data)?,
        TensorType::Bf16 => bail!("tract does not compute with bf16"),
    };
    Ok(TValue::from(copy))
}

fn copied<T: Datum + Copy + Pod>(shape: &[usize], data: &[u8]) -> TractResult<tract::Tensor> {
    tract::Tensor::from_shape::<T>(shape, slice(data)?)
}

fn slice<T: Pod>(data: &[u8]) -> TractResult<&[T]> {
    match bytemuck::try_cast_slice(data) {
        Ok(slice) => Ok(slice),
        Err(error) => bail!("{error}"),
    }
}

/// What tract computed, as the description has it.
pub(super) fn from_tract(value: &tract::Tensor, ty: TensorType) -> TractResult<Tensor> {
    let Some(datum) = datum(ty) else { bail!("tract does not compute with {ty}") };
    let value = if value.datum_type().unquantized() == datum {
        std::borrow::Cow::Borrowed(value)
    } else {
        value.cast_to_dt(datum)?
    };
    let dimensions = value.shape().iter().copied().map(u32::try_from).collect::<Result<_, _>>()?;
    Ok(Tensor::new(ty, dimensions, value.try_as_plain_ram()?.as_bytes())?)
}
