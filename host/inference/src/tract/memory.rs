//! What a model will take, reckoned from the shapes before anything is computed.
//!
//! The reckoning follows tract's own order and lets go of a value where tract does. Operators take a little more while
//! they compute; that is what the slack is for.

use edgewit_domain::limits::KIB;
use edgewit_domain::model::Planned;
use tract_onnx::tract_core::internal::{Graph, Op, TypedFact, TypedModel, TypedOp, TypedSimplePlan};
use tract_onnx::tract_core::model::order::eval_order;
use tract_onnx::tract_core::ops::konst::Const;
use tract_onnx::tract_core::ops::logic::IfThenElse;
use tract_onnx::tract_core::ops::matmul::optimized::{MatMulOperand, OptMatMul, ProtoFusedSpec};
use tract_onnx::tract_core::ops::scan::{OptScan, Scan};

/// For one node: the operator itself, its names and its facts.
const NODE: u64 = 4 * KIB;
/// For what operators keep for themselves while they compute.
const SCRATCH: u64 = 64 * KIB;

/// None where a shape is known only once it computes.
pub(super) fn planned(plan: &TypedSimplePlan) -> Option<Planned> {
    let ports = {
        let model = plan.model();
        let outlets = model.inputs.iter().chain(&model.outputs);
        outlets.map(|outlet| bytes(model.outlet_fact(*outlet).ok()?)).try_fold(0_u64, add)?
    };
    let Planned { resting, running } = of(plan.model(), plan.order_without_consts())?;
    // What goes in and out exists twice for a moment: as the guest's, and as tract's.
    Some(Planned { resting, running: running.saturating_add(ports).saturating_add(SCRATCH) })
}

fn add(sum: u64, bytes: Option<u64>) -> Option<u64> {
    Some(sum.saturating_add(bytes?))
}

/// Of a graph, or of one that a node of it computes.
fn of(model: &Graph<TypedFact, Box<dyn TypedOp>>, order: &[usize]) -> Option<Planned> {
    let mut resting = 0_u64;
    for node in &model.nodes {
        resting = resting.saturating_add(NODE);
        if node.op_is::<Const>() {
            let constants = node.outputs.iter().map(|output| bytes(&output.fact)).try_fold(0, add)?;
            resting = resting.saturating_add(constants);
        }
    }
    let mut last_use = vec![0_usize; model.nodes.len()];
    for (step, id) in order.iter().enumerate() {
        *last_use.get_mut(*id)? = step;
        for input in &model.node(*id).inputs {
            *last_use.get_mut(input.node)? = step;
        }
    }
    for output in &model.outputs {
        *last_use.get_mut(output.node)? = order.len();
    }
    let (mut live, mut running) = (0_u64, 0_u64);
    // What ends with each step, and with none.
    let mut ends = vec![0_u64; order.len().saturating_add(1)];
    for (step, id) in order.iter().enumerate() {
        let node = model.node(*id);
        if node.op_is::<Const>() {
            continue;
        }
        let outputs = node.outputs.iter().map(|output| bytes(&output.fact)).try_fold(0, add)?;
        let inner = inside(node.op())?;
        resting = resting.saturating_add(inner.resting);
        live = live.saturating_add(outputs);
        running = running.max(live.saturating_add(inner.running));
        let end = ends.get_mut(*last_use.get(*id)?)?;
        *end = end.saturating_add(outputs);
        live = live.saturating_sub(*ends.get(step)?);
    }
    Some(Planned { resting, running })
}

/// What an operator takes that has graphs of its own, or weights that were nodes of the graph before.
fn inside(operator: &dyn Op) -> Option<Planned> {
    let nothing = Planned { resting: 0, running: 0 };
    if let Some(scan) = operator.downcast_ref::<OptScan>() {
        of(scan.plan.model(), scan.plan.order_without_consts())
    } else if let Some(scan) = operator.downcast_ref::<Scan>() {
        in_any_order(&scan.body)
    } else if let Some(choice) = operator.downcast_ref::<IfThenElse>() {
        let (yes, no): (Planned, Planned) = (in_any_order(&choice.then_body)?, in_any_order(&choice.else_body)?);
        let resting = yes.resting.saturating_add(no.resting);
        Some(Planned { resting, running: yes.running.max(no.running) })
    } else if let Some(product) = operator.downcast_ref::<OptMatMul>() {
        Some(Planned { resting: product.micro_ops.iter().map(packed).try_fold(0, add)?, running: 0 })
    } else {
        Some(nothing)
    }
}

fn packed(step: &ProtoFusedSpec) -> Option<u64> {
    let ProtoFusedSpec::AddMatMul { a, b, .. } = step else { return Some(0) };
    let constants = [a, b].into_iter().filter_map(|operand| match operand {
        MatMulOperand::Const(value) => Some(value.exotic_fact().buffer_sizes()),
        MatMulOperand::Input(_) => None,
    });
    constants.flatten().map(|size| u64::try_from(size.to_i64().ok()?).ok()).try_fold(0, add)
}

fn in_any_order(model: &TypedModel) -> Option<Planned> {
    of(model, &eval_order(model).ok()?)
}

fn bytes(fact: &TypedFact) -> Option<u64> {
    let shape = fact.shape.as_concrete()?;
    let elements = shape.iter().fold(1_u64, |all, one| all.saturating_mul(u64::try_from(*one).unwrap_or(u64::MAX)));
    let element = u64::try_from(fact.datum_type.size_of()).unwrap_or(u64::MAX);
    let packed = fact.exotic_fact().into_iter().flat_map(|exotic| exotic.buffer_sizes());
    let packed = packed.map(|size| size.to_i64().ok().and_then(|size| u64::try_from(size).ok()));
    packed.into_iter().try_fold(elements.saturating_mul(element), add)
}
