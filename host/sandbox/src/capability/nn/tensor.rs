//! `wasi:nn/tensor`: what the host keeps for a guest, counted as the guest's memory.
//!
//! A constructor has no way to refuse. Where the memory is not enough the guest ends, as it may when it takes too much of
//! its own; what is no tensor is kept as it was given, and whoever computes with it is told why it is none.

use std::sync::Arc;

use edgewit_domain::tensor::{NotATensor, Tensor, TensorType};
use hyper::body::Bytes;
use wasmtime::Result;
use wasmtime::component::{LinkerInstance, Resource, ResourceType, WasmList};

use super::Store;
use crate::bindings::wasi::nn::tensor as wit;
use crate::guest::Guest;

pub(super) enum HeldTensor {
    Sound(Arc<Tensor>),
    Unsound { ty: TensorType, dimensions: Vec<u32>, data: Bytes, problem: NotATensor },
}

impl From<Tensor> for HeldTensor {
    fn from(tensor: Tensor) -> Self {
        HeldTensor::Sound(Arc::new(tensor))
    }
}

/// What is lowered into a guest's memory without a copy on the way.
struct Data(Arc<Tensor>);

impl AsRef<[u8]> for Data {
    fn as_ref(&self) -> &[u8] {
        self.0.data()
    }
}

impl HeldTensor {
    fn new(ty: TensorType, dimensions: Vec<u32>, data: &[u8]) -> Self {
        match Tensor::new(ty, dimensions.clone(), data) {
            Ok(tensor) => tensor.into(),
            Err(problem) => HeldTensor::Unsound { ty, dimensions, data: Bytes::copy_from_slice(data), problem },
        }
    }

    fn ty(&self) -> TensorType {
        match self {
            HeldTensor::Sound(tensor) => tensor.ty(),
            HeldTensor::Unsound { ty, .. } => *ty,
        }
    }

    fn dimensions(&self) -> &[u32] {
        match self {
            HeldTensor::Sound(tensor) => tensor.dimensions(),
            HeldTensor::Unsound { dimensions, .. } => dimensions,
        }
    }

    fn data(&self) -> Bytes {
        match self {
            HeldTensor::Sound(tensor) => Bytes::from_owner(Data(tensor.clone())),
            HeldTensor::Unsound { data, .. } => data.clone(),
        }
    }

    /// Of the guest's memory.
    pub fn bytes(&self) -> u64 {
        let data = match self {
            HeldTensor::Sound(tensor) => tensor.data().len(),
            HeldTensor::Unsound { data, .. } => data.len(),
        };
        bytes(self.dimensions(), data)
    }

    pub fn into_tensor(self) -> Result<Tensor, NotATensor> {
        match self {
            HeldTensor::Sound(tensor) => Ok(Arc::unwrap_or_clone(tensor)),
            HeldTensor::Unsound { problem, .. } => Err(problem),
        }
    }
}

fn bytes(dimensions: &[u32], data: usize) -> u64 {
    (data as u64).saturating_add(size_of_val(dimensions) as u64)
}

pub(super) fn add_to_linker(tensors: &mut LinkerInstance<'_, Guest>) -> Result<()> {
    tensors.resource("tensor", ResourceType::host::<HeldTensor>(), |mut store, handle| {
        let guest = store.data_mut();
        let held = guest.table.delete(Resource::<HeldTensor>::new_own(handle))?;
        guest.memory.release(held.bytes());
        Ok(())
    })?;
    type New = (Vec<u32>, wit::TensorType, WasmList<u8>);
    tensors.func_wrap("[constructor]tensor", |mut store: Store<'_>, (dimensions, ty, data): New| {
        let memory = &mut store.data_mut().memory;
        if !memory.hold(bytes(&dimensions, data.len())) {
            memory.refused = true;
            return Err(wasmtime::Error::msg("a tensor does not fit into limits.memory"));
        }
        let held = HeldTensor::new(from_wit(ty), dimensions, data.as_le_slice(&store));
        Ok((store.data_mut().table.push(held)?,))
    })?;
    tensors.func_wrap("[method]tensor.dimensions", |store: Store<'_>, (tensor,): (Resource<HeldTensor>,)| {
        Ok((store.data().table.get(&tensor)?.dimensions().to_vec(),))
    })?;
    tensors.func_wrap("[method]tensor.ty", |store: Store<'_>, (tensor,): (Resource<HeldTensor>,)| {
        Ok((to_wit(store.data().table.get(&tensor)?.ty()),))
    })?;
    tensors.func_wrap("[method]tensor.data", |store: Store<'_>, (tensor,): (Resource<HeldTensor>,)| {
        Ok((store.data().table.get(&tensor)?.data(),))
    })
}

fn from_wit(ty: wit::TensorType) -> TensorType {
    match ty {
        wit::TensorType::Fp16 => TensorType::F16,
        wit::TensorType::Fp32 => TensorType::F32,
        wit::TensorType::Fp64 => TensorType::F64,
        wit::TensorType::Bf16 => TensorType::Bf16,
        wit::TensorType::U8 => TensorType::U8,
        wit::TensorType::I32 => TensorType::I32,
        wit::TensorType::I64 => TensorType::I64,
    }
}

fn to_wit(ty: TensorType) -> wit::TensorType {
    match ty {
        TensorType::F16 => wit::TensorType::Fp16,
        TensorType::F32 => wit::TensorType::Fp32,
        TensorType::F64 => wit::TensorType::Fp64,
        TensorType::Bf16 => wit::TensorType::Bf16,
        TensorType::U8 => wit::TensorType::U8,
        TensorType::I32 => wit::TensorType::I32,
        TensorType::I64 => wit::TensorType::I64,
    }
}
