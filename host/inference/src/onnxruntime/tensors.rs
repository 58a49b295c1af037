//! Tensors as the library has them, and as we have them.

use edgewit_domain::tensor::{Tensor, TensorType};
use half::{bf16, f16};
use ort::session::SessionInputValue;
use ort::value::{DynValue, PrimitiveTensorElementType, TensorElementType, TensorRef};

pub(super) fn ty(ty: TensorElementType) -> Option<TensorType> {
    Some(match ty {
        TensorElementType::Float16 => TensorType::F16,
        TensorElementType::Float32 => TensorType::F32,
        TensorElementType::Float64 => TensorType::F64,
        TensorElementType::Bfloat16 => TensorType::Bf16,
        TensorElementType::Uint8 => TensorType::U8,
        TensorElementType::Int32 => TensorType::I32,
        TensorElementType::Int64 => TensorType::I64,
        _ => return None,
    })
}

/// The library reads the bytes where they lie.
pub(super) fn value(tensor: &Tensor) -> ort::Result<SessionInputValue<'_>> {
    fn of<T: PrimitiveTensorElementType + std::fmt::Debug + bytemuck::Pod>(
        tensor: &Tensor,
    ) -> ort::Result<SessionInputValue<'_>> {
        let dimensions: Vec<i64> = tensor.dimensions().iter().map(|size| i64::from(*size)).collect();
        let elements: &[T] = bytemuck::cast_slice(tensor.data());
        TensorRef::from_array_view((dimensions, elements)).map(SessionInputValue::from)
    }
    match tensor.ty() {
        TensorType::F16 => of::<f16>(tensor),
        TensorType::F32 => of::<f32>(tensor),
        TensorType::F64 => of::<f64>(tensor),
        TensorType::Bf16 => of::<bf16>(tensor),
        TensorType::U8 => of::<u8>(tensor),
        TensorType::I32 => of::<i32>(tensor),
        TensorType::I64 => of::<i64>(tensor),
    }
}

pub(super) fn tensor(value: &DynValue) -> ort::Result<Tensor> {
    fn of<T: PrimitiveTensorElementType + bytemuck::Pod>(ty: TensorType, value: &DynValue) -> ort::Result<Tensor> {
        let (shape, elements) = value.try_extract_tensor::<T>()?;
        let dimensions = shape.iter().map(|size| u32::try_from(*size).unwrap_or(u32::MAX)).collect();
        Tensor::new(ty, dimensions, bytemuck::cast_slice(elements)).map_err(|error| ort::Error::new(error.to_string()))
    }
    let Some(ty) = value.dtype().tensor_type().and_then(ty) else {
        return Err(ort::Error::new(format!("an output is {}, which was not said before", value.dtype())));
    };
    match ty {
        TensorType::F16 => of::<f16>(ty, value),
        TensorType::F32 => of::<f32>(ty, value),
        TensorType::F64 => of::<f64>(ty, value),
        TensorType::Bf16 => of::<bf16>(ty, value),
        TensorType::U8 => of::<u8>(ty, value),
        TensorType::I32 => of::<i32>(ty, value),
        TensorType::I64 => of::<i64>(ty, value),
    }
}
