//! temp
use rrvmm::{loader::BootSource, machine::PcMachine};
use rrvmm_replay::{Position, Steppable};
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let src = BootSource {
        kernel: Some(std::fs::read(&a[1]).unwrap()),
        initrd: a.get(2).filter(|s| !s.is_empty()).map(|p| std::fs::read(p).unwrap()),
        cmdline: a[3].clone(),
        ..Default::default()
    };
    let cfg = rrvmm_devices::PcConfig { memory_bytes: 512 << 20, cpus: 1, firmware: false };
    let mut m = PcMachine::new(&cfg, &src).unwrap();
    let n: u64 = a[4].parse().unwrap();
    let t = std::time::Instant::now();
    let mut outs = vec![];
    loop {
        let s = m.run_until(Position::from_count(n.min(m.now().position.count() + 50_000_000))).unwrap();
        m.drain_outputs(&mut outs);
        for o in outs.drain(..) {
            if let rrvmm_devices::Output::Serial { byte, .. } = o {
                use std::io::Write;
                std::io::stdout().write_all(&[byte]).unwrap();
            }
        }
        match s {
            rrvmm_replay::Stop::Idle => match m.next_deadline() {
                Some(d) => m.idle_until(d).unwrap(),
                None => {
                    eprintln!("halted forever");
                    break;
                }
            },
            rrvmm_replay::Stop::Reached if m.now().position.count() < n => {}
            s => {
                eprintln!("{s:?}");
                break;
            }
        }
    }
    let d = t.elapsed();
    eprintln!(
        "{} insns in {:?} = {:.1} MIPS",
        m.now().position,
        d,
        m.now().position.count() as f64 / d.as_secs_f64() / 1e6
    );
    eprintln!("{}", m.stats());
    eprintln!("{}", rrvmm::machine::describe(&m.cpu()));
}
