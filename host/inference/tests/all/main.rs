//! What inference promises, shown with real models: those that compute, and those that were made to hurt.

#[cfg(test)]
mod asking;
#[cfg(test)]
mod brought;
#[cfg(test)]
mod hostile_child;
#[cfg(test)]
mod hostile_model;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod loading;
#[cfg(test)]
mod numbers;
#[cfg(test)]
mod onnxruntime;
#[cfg(test)]
mod parent_and_child;
#[cfg(test)]
mod support;
