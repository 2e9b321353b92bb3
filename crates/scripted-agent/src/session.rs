//! One run of the program: inputs are taken up one after the other, and control requests at any time.

use crate::args::Args;
use crate::conversation::{Conversation, Shelf};
use crate::input::{self, Input};
use crate::mcp::Client;
use crate::perform::{Actor, Asked};
use crate::protocol::{Spent, Voice};
use crate::script::{End, Script};
use anyhow::Result;
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::pin::pin;
use std::rc::Rc;
use tokio::sync::mpsc::Receiver;
use uuid::Uuid;

/// Runs until there is no more input. Returns the exit code.
pub(crate) async fn run(args: Args, env: BTreeMap<String, String>, leading: Vec<String>) -> Result<i32> {
    let script = Script::read(&args.script)?;
    let dir = std::env::current_dir()?;
    let shelf = Shelf::of(&env, &dir);
    let id = args.resume.clone().or_else(|| args.session.clone()).unwrap_or_else(|| Uuid::new_v4().to_string());
    let voice = Rc::new(Voice::new(id.clone(), args.model.clone(), args.permissions.mode.clone(), dir));
    let conversation = match (shelf.find(&id)?, &args.resume) {
        (Some(known), Some(_)) => known,
        (None, Some(_)) => {
            eprintln!("No conversation found with session ID: {id}");
            voice.unknown()?;
            return Ok(1);
        }
        (Some(_), None) => {
            eprintln!("Error: Session ID {id} is already in use.");
            return Ok(1);
        }
        (None, None) => Conversation { id, variables: script.vars.clone(), ..Conversation::default() },
    };
    let inputs = input::listen()?;
    let asked = Asked::default();
    let servers = args.servers.into_iter().map(Client::new).collect::<Result<_>>()?;
    let actor = Actor {
        script: Rc::new(script),
        conversation,
        shelf,
        voice: Rc::clone(&voice),
        servers,
        permissions: args.permissions,
        asked: Rc::clone(&asked),
        rules: args.rules,
        env,
        leading,
        prompt: String::new(),
        last: Value::Null,
    };
    let desk = Desk { inputs, voice, asked, queue: VecDeque::new(), over: false, replay: args.replay };
    desk.serve(actor).await
}

/// Where inputs arrive.
struct Desk {
    inputs: Receiver<Input>,
    voice: Rc<Voice>,
    asked: Asked,
    /// Inputs that wait for their turn.
    queue: VecDeque<(Option<String>, String)>,
    /// Whether standard input has ended.
    over: bool,
    replay: bool,
}

/// Whether something wants the running turn to stop.
#[derive(PartialEq)]
enum Wish {
    GoOn,
    Stop,
    StopAndLeave,
}

impl Desk {
    async fn serve(mut self, mut actor: Actor) -> Result<i32> {
        let mut code = 0;
        loop {
            let Some((uuid, text)) = self.queue.pop_front() else {
                if self.over {
                    return Ok(code);
                }
                let input = self.inputs.recv().await.unwrap_or(Input::End);
                if self.take(input)? == Wish::StopAndLeave {
                    return Ok(0);
                }
                continue;
            };
            let wish;
            (code, wish) = self.turn(&mut actor, uuid.as_ref(), &text).await?;
            if wish == Wish::StopAndLeave {
                return Ok(0);
            }
        }
    }

    /// Plays one turn. Returns what the exit code would be now.
    async fn turn(&mut self, actor: &mut Actor, uuid: Option<&String>, text: &str) -> Result<(i32, Wish)> {
        self.voice.lifecycle(uuid, "started")?;
        let (end, wish) = {
            let voice = Rc::clone(&self.voice);
            let replay = self.replay;
            let mut play = pin!(async {
                actor.greet().await?;
                if replay {
                    voice.replay(uuid, text)?;
                }
                actor.perform(text).await
            });
            loop {
                tokio::select! {
                    biased;
                    input = self.inputs.recv(), if !self.over => {
                        let wish = self.take(input.unwrap_or(Input::End))?;
                        if wish != Wish::GoOn {
                            break (None, wish);
                        }
                    }
                    end = &mut play => break (Some(end), Wish::GoOn),
                }
            }
        };
        self.asked.borrow_mut().clear();
        let known = &actor.conversation;
        let mut spent = Spent { micros: known.spent, input: known.input, output: known.output };
        let code = match end {
            Some(end) => {
                let end = end.unwrap_or_else(|fault| End::Failed(format!("{fault:#}")));
                self.voice.end(&end, &mut spent)?;
                i32::from(!matches!(end, End::Completed | End::Refused))
            }
            None => {
                actor.abandon();
                self.voice.interrupted(&mut spent)?;
                0
            }
        };
        actor.close(spent)?;
        self.voice.lifecycle(uuid, "completed")?;
        Ok((code, wish))
    }

    /// Takes one input, and answers what can be answered at once.
    fn take(&mut self, input: Input) -> Result<Wish> {
        match input {
            Input::Prompt { uuid, text } => {
                self.voice.lifecycle(uuid.as_ref(), "queued")?;
                self.queue.push_back((uuid, text));
            }
            Input::Answer { id, response } => {
                // The asker may have gone; then nobody waits for the answer.
                if let Some(asker) = self.asked.borrow_mut().remove(&id)
                    && asker.send(response).is_err()
                {
                    eprintln!("orcha-scripted-agent: an answer came too late");
                }
            }
            Input::Control { id, request } => return self.control(&id, &request),
            Input::Interrupted => return Ok(Wish::StopAndLeave),
            Input::End => {
                self.over = true;
                // Nobody is left who could answer.
                self.asked.borrow_mut().clear();
            }
        }
        Ok(Wish::GoOn)
    }

    fn control(&self, id: &str, request: &Value) -> Result<Wish> {
        match request["subtype"].as_str().unwrap_or_default() {
            "initialize" => {
                let mode = &self.voice.mode;
                let hello = json!({"commands": [], "agents": [], "output_style": "default", "models": [], "current_permission_mode": mode});
                self.voice.answer(id, hello)?;
            }
            "interrupt" => {
                let queued: Vec<&String> = self.queue.iter().filter_map(|(uuid, _)| uuid.as_ref()).collect();
                self.voice.answer(id, json!({"still_queued": queued}))?;
                return Ok(Wish::Stop);
            }
            "set_permission_mode" => self.voice.answer(id, json!({"mode": request["mode"]}))?,
            "set_model" => self.voice.answer(id, json!({"model": request["model"]}))?,
            other => self.voice.refuse(id, other)?,
        }
        Ok(Wish::GoOn)
    }
}
